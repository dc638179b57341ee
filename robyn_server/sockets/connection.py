"""A WebSocket connection that knows when it last received data, writes without a task, and closes without waiting.

A write goes into the transport's buffer. Senders await `wait_writable()` afterwards, so a buffer holds at most
WRITE_LIMIT and one message of each sender (the reader and every watch). A socket with more than MAX_BUFFERED is not
read, and is closed.
"""

from __future__ import annotations

import logging
from typing import Any
from uuid import UUID

from websockets.asyncio.server import ServerConnection
from websockets.protocol import State

from robyn_server.sockets.protocol.errors import CloseCode

WRITE_LIMIT = 32 * 1024
MAX_BUFFERED = 1024 * 1024
MAX_REASON_BYTES = 123
"""RFC 6455, section 5.5: a control frame carries 125 bytes, two of them the code."""


class Socket(ServerConnection):
    """`last_received_at` and `blocked_since` are times of the loop's clock; `blocked_since` is None while the peer
    reads."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.last_received_at = self.loop.time()
        self.blocked_since: float | None = None
        self.closed_at: float | None = None
        self.close_sent: CloseCode | None = None
        self.authenticated: Any = None
        """An AuthenticatedSocket, when the handshake presented credentials."""
        self.organization_id: UUID | None = None
        """The organization named in the handshake; a message may name another."""

    def data_received(self, data: bytes) -> None:
        self.last_received_at = self.loop.time()
        super().data_received(data)

    def pause_writing(self) -> None:
        self.blocked_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self.blocked_since = None
        super().resume_writing()

    @property
    def is_open(self) -> bool:
        return self.protocol.state is State.OPEN

    @property
    def is_overflowing(self) -> bool:
        return self.transport.get_write_buffer_size() > MAX_BUFFERED

    @property
    def closed_cleanly(self) -> bool:
        """The client closed first, with 1000, 1001, or no code (as `close()` in a browser does)."""
        received = self.protocol.close_rcvd
        return (
            received is not None
            and self.protocol.close_rcvd_then_sent is not False
            and received.code in {1000, 1001, 1005}
        )

    def write(self, text: bytes) -> None:
        """Write a message without waiting. Does nothing on a socket that is closing."""
        if self.is_open:
            self.protocol.send_text(text)
            self.send_data()

    async def wait_writable(self) -> None:
        """Wait until the write buffer has room."""
        if self.paused:
            await self.drain()

    def send_ping(self) -> None:
        """Send a ping. Anything received afterwards is proof of life."""
        if self.is_open:
            self.protocol.send_ping(b"")
            self.send_data()

    def begin_close(self, code: CloseCode, reason: str) -> None:
        """Start the closing handshake without waiting for it.

        The first call counts. The liveness monitor aborts a silent peer.
        """
        if self.closed_at is not None:
            return
        self.closed_at = self.loop.time()
        self.close_sent = code
        if self.is_open:
            self.protocol.send_close(code, reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore"))
            self.send_data()

    def abort(self) -> None:
        self.transport.abort()

    def release_handshake(self) -> None:
        """Free the two kilobytes of the handshake.

        The request must not be None: that tells the library that the handshake is open.
        """
        self.request = _HANDSHAKE_DONE  # type: ignore[assignment]
        self.response = None

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._break_cycles()

    def _break_cycles(self) -> None:
        """Remove the library's references back to this object, so that the memory of a closed socket is freed at once.

        Otherwise it waits for the garbage collector, which stops the process while it traverses the objects of all
        sockets.
        """
        self.logger = self.protocol.logger = _LOGGER
        vars(self.protocol).pop("select_subprotocol", None)  # a function of ours for this connection alone
        self.protocol.parser.close()
        self.protocol.parser_exc = None


_HANDSHAKE_DONE = object()
_LOGGER = logging.getLogger("websockets.server")
