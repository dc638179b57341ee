"""Authentication: credentials become principals.

API keys, JSON Web Tokens, tickets for WebSockets, and loopback-only access.
"""
