"""Clients for a running server."""
