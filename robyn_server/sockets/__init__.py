"""The sockets process: instances connect, register, renew their leases, discover each other and watch changes.

Rules
  1. Each socket has one reader task, which answers requests in their order. Each watch is a task of its own.
  2. A sender waits until its socket is writable. A socket that is not read is closed; no other socket waits for it.
  3. A socket has one principal, verified before any other message is processed, and again while the socket is open.
  4. The database decides what an instance holds. The session only knows which registrations a message may leave
     unnamed.
  5. Losing a socket changes a lease and never ends a registration: only its own client, or a newer epoch of the
     instance, does.

Modules import in one direction: server → reader, monitor → methods, cleanup → hub → notifications → session.
`docs/reference/websocket.md` describes the protocol for authors of clients. RFC 6455 (WebSocket), JSON-RPC 2.0.
"""
