"""The listening server: the library's server with our limits, and its orderly stop."""

from __future__ import annotations

import contextlib
import logging
import resource
from collections.abc import Callable

import structlog
from websockets.asyncio.server import Server, serve

from robyn_server.core.errors import Misconfigured

from . import handshake
from .authentication import SocketAuthenticator
from .connection import WRITE_LIMIT, Socket
from .monitor import LivenessMonitor
from .reader import SessionReader
from .sessions.hub import SessionHub
from .sessions.session import Session

READ_AHEAD = 4
"""Messages of one socket that are read before they are answered; then its TCP window closes."""

BACKLOG = 2048
CLOSE_SECONDS = 2.0
_log = structlog.get_logger(__name__)


class SocketServer:
    """`start` listens, `stop` drains. `port` is the bound port, also when 0 was configured."""

    def __init__(
        self,
        hub: SessionHub,
        monitor: LivenessMonitor,
        authenticator: SocketAuthenticator,
        origins: handshake.Origins,
        host: str,
        port: int,
        *,
        share_port: bool = False,
        is_healthy: Callable[[], bool] = lambda: True,
    ) -> None:
        """`is_healthy`: whether `/ok` says so while sockets are accepted."""
        self._hub = hub
        self._monitor = monitor
        self._handshake = handshake.Handshake(authenticator, origins, lambda: not hub.is_draining, is_healthy)
        self._address = (host, port)
        self._share_port = share_port
        self._server: Server | None = None

    @property
    def port(self) -> int:
        """Raises Misconfigured before `start`."""
        if self._server is None:
            raise Misconfigured("The sockets do not listen yet")
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Raises Misconfigured when the port cannot be bound."""
        raise_file_limit()
        limits = self._hub.limits
        try:
            self._server = await serve(
                self._serve,  # type: ignore[arg-type]
                *self._address,
                select_subprotocol=handshake.select_subprotocol,
                subprotocols=[handshake.SUBPROTOCOL],  # type: ignore[list-item]
                compression=None,
                process_request=self._handshake,  # type: ignore[arg-type]
                server_header=None,
                open_timeout=limits.first_message_seconds,
                ping_interval=None,  # the liveness monitor pings, and only quiet sockets
                close_timeout=CLOSE_SECONDS,
                max_size=limits.message_bytes,
                max_queue=READ_AHEAD,
                write_limit=WRITE_LIMIT,
                create_connection=Socket,
                logger=_quiet(),
                backlog=BACKLOG,
                reuse_port=self._share_port,
            )
        except OSError as error:
            host, port = self._address
            reason = f"cannot listen on {host}, port {port}: {error.strerror}; set AGENTHALL_SOCKETS_PORT (0 picks a free one)"
            raise Misconfigured(reason, field="AGENTHALL_SOCKETS_PORT") from None

    async def stop(self, seconds: float) -> None:
        """Drain within `seconds`, and close."""
        if self._server is None:
            return
        self._server.close(close_connections=False)
        await self._monitor.drain(seconds)
        await self._server.wait_closed()

    async def _serve(self, socket: Socket) -> None:
        socket.release_handshake()
        await SessionReader(self._hub, Session(socket)).run()


def _quiet() -> logging.Logger:
    """The library's logger, without a line for each socket that opens or closes."""
    logger = logging.getLogger("websockets.server")
    logger.setLevel(logging.WARNING)
    return logger


def raise_file_limit() -> None:
    """Raise the limit of open files to the hard limit: the usual soft limit allows 1,024 sockets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    _log.info("sockets may be open", files=soft)
