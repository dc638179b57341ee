"""`agenthall serve`: start, watch and stop the embedded PostgreSQL and the server's processes.

Modules here import only the standard library, `core`, `ports` and `files`: the supervisor runs as long as the server
and must stay small. `proxy` also imports the wheel of Caddy, to find the program in it.
"""
