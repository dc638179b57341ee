"""HTTP at the edge: everything but `server.py` is free of any framework and is tested without a server."""
