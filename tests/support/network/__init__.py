"""Clients on the wire, and proxies that change or cut what passes."""
