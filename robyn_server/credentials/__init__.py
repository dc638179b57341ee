"""Credentials for MCP servers: encrypted with the server's key ring, and found for each run.

Rules
- A ciphertext names its key and is bound to its row (associated data), so that no other row can use it.
- A plaintext is in memory while it is used. It is never logged, and no error contains it.
- A credential that is missing or unreadable is a reason for people, not an exception. The run goes on without it.
"""
