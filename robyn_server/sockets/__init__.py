"""The sockets process: instances dial in, register, stay on a lease, find each other and follow what changes.

Rules
  1. One reader task for each socket, and none besides: its requests are answered in the order they came. A watch is a task more.
  2. Whoever sends waits until the socket takes it. A socket that takes nothing is cut; nobody else waits for it.
  3. A socket has one principal, verified before anything else is looked at, and again while the socket lives.
  4. What a socket holds is known to the database alone; here stands only which registrations a message may leave unnamed.
  5. Losing a socket changes a lease, never a registration: only its own process or a newer one of the same instance ends it.

`docs/websocket.md` is for those who write clients. RFC 6455 (WebSocket), JSON-RPC 2.0.
"""
