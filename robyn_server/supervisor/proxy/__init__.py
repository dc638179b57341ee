"""Caddy as a child of `serve`: the proxy that faces the network, with the server's processes on loopback behind it."""
