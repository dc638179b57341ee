"""Connect to the server, reconnect after failures, and exchange messages."""
