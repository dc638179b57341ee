"""Numbers of the server, their history, and its checks, for operators."""
