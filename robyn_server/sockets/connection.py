"""One WebSocket: what the library's connection lacks. When it was last heard, sending without a task, and closing without waiting.

Sending is a write into the transport's buffer. Whoever sends awaits `taken()` afterwards, so a buffer holds at most WRITE_LIMIT and one
message of each sender (the reader, and every watch); what exceeds OVERFULL anyhow is a socket that takes nothing, and is cut.
"""

from __future__ import annotations

import logging
from typing import Any
from uuid import UUID

from websockets.asyncio.server import ServerConnection
from websockets.protocol import State

from .codes import Close

WRITE_LIMIT = 32 * 1024
OVERFULL = 1024 * 1024
LONGEST_REASON = 123
"""RFC 6455, section 5.5: a control frame carries 125 bytes, two of them the code."""


class Socket(ServerConnection):
    """`heard` and `stuck_since` are times of the loop's clock; `stuck_since` is None while the peer takes what is written."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.heard = self.loop.time()
        self.stuck_since: float | None = None
        self.closed_at: float | None = None
        self.close_sent: Close | None = None
        self.admitted: Any = None
        """What the handshake found out about who is dialling in; see `handshake.py`."""
        self.organization: UUID | None = None
        """Which one the handshake named; a message may name another."""

    def data_received(self, data: bytes) -> None:
        self.heard = self.loop.time()
        super().data_received(data)

    def pause_writing(self) -> None:
        self.stuck_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self.stuck_since = None
        super().resume_writing()

    @property
    def is_open(self) -> bool:
        return self.protocol.state is State.OPEN

    @property
    def is_overfull(self) -> bool:
        return self.transport.get_write_buffer_size() > OVERFULL

    @property
    def left_cleanly(self) -> bool:
        """The client said goodbye: with 1000, with 1001, or with no code, as `close()` in a browser does."""
        goodbye = self.protocol.close_rcvd
        return (
            goodbye is not None
            and self.protocol.close_rcvd_then_sent is not False
            and goodbye.code in {1000, 1001, 1005}
        )

    def put(self, text: bytes) -> None:
        """Write a message at once. Nothing happens on a socket that is closing."""
        if self.is_open:
            self.protocol.send_text(text)
            self.send_data()

    async def taken(self) -> None:
        """Return when there is room again."""
        if self.paused:
            await self.drain()

    def ask_for_life(self) -> None:
        """A ping; whatever is heard next is the answer."""
        if self.is_open:
            self.protocol.send_ping(b"")
            self.send_data()

    def end(self, code: Close, reason: str) -> None:
        """Begin to close, and return at once. The first word counts. Who does not answer is aborted by the watchman."""
        if self.closed_at is not None:
            return
        self.closed_at = self.loop.time()
        self.close_sent = code
        if self.is_open:
            self.protocol.send_close(code, reason.encode()[:LONGEST_REASON].decode(errors="ignore"))
            self.send_data()

    def abort(self) -> None:
        self.transport.abort()

    def forget_handshake(self) -> None:
        """Two kilobytes that nobody reads again. The request must not become None: it tells the library that the handshake is over."""
        self.request = _SHAKEN  # type: ignore[assignment]
        self.response = None

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._let_go()

    def _let_go(self) -> None:
        """Cuts what the library left pointing back here, so that a closed socket's memory is free at once.

        Otherwise it waits until somebody looks through the objects of all sockets, and everybody stands still for that.
        """
        self.logger = self.protocol.logger = _LOGGER
        vars(self.protocol).pop("select_subprotocol", None)  # a function of ours for this connection alone
        self.protocol.parser.close()
        self.protocol.parser_exc = None


_SHAKEN = object()
_LOGGER = logging.getLogger("websockets.server")
