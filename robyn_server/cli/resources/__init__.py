"""`agenthall assistants | threads | runs`: what a running server holds, over its HTTP API."""
