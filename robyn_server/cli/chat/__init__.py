"""`agenthall chat`: a conversation with an agent of a running server."""
