"""Connections of users to MCP servers: OAuth 2.1 with PKCE, as the authorization of the MCP specification has it.

Rules
- A server names its authorization server (RFC 9728), which describes itself (RFC 8414). Nothing is guessed.
- A token is requested for the server's URL (RFC 8707), kept for one user and server, and sent to that URL alone.
- `state` belongs to one user and server, is used once, and ends after AUTHORIZATION_SECONDS.
- URLs that servers name are fetched under the egress policy of the server's users.
"""
