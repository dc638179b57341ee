"""The listening side: the library's server with our limits, the rounds, and what happens at a stop."""

from __future__ import annotations

import contextlib
import logging
import resource

import structlog
from websockets.asyncio.server import Server, serve

from robyn_server.core.errors import Misconfigured

from . import handshake
from .admission import Admission
from .connection import WRITE_LIMIT, Socket
from .hall import Hall
from .session import Session

FRAMES_AHEAD = 4
"""Messages of one socket that are read before they are answered; then its TCP window closes."""

BACKLOG = 2048
CLOSE_SECONDS = 2.0
_log = structlog.get_logger(__name__)


class SocketServer:
    """`start` listens; `stop` drains within its seconds. `port` is the real one, also when 0 was asked for."""

    def __init__(
        self,
        hall: Hall,
        admission: Admission,
        origins: handshake.Origins,
        host: str,
        port: int,
        *,
        share_port: bool = False,
    ) -> None:
        self._hall = hall
        self._handshake = handshake.Handshake(admission, origins, lambda: not hall.leaving)
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
        """Raises Misconfigured when the port cannot be had."""
        allow_files()
        limits = self._hall.limits
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
                ping_interval=None,  # the hall's rounds ask, and only those that say nothing
                close_timeout=CLOSE_SECONDS,
                max_size=limits.message_bytes,
                max_queue=FRAMES_AHEAD,
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
        if self._server is None:
            return
        self._server.close(close_connections=False)
        await self._hall.drain(seconds)
        await self._server.wait_closed()

    async def _serve(self, socket: Socket) -> None:
        socket.forget_handshake()
        await Session(socket, self._hall).run()


def _quiet() -> logging.Logger:
    """The library's own lines, without one for each socket that comes and goes."""
    logger = logging.getLogger("websockets.server")
    logger.setLevel(logging.WARNING)
    return logger


def allow_files() -> None:
    """As many sockets as the system lets this process have: the usual soft limit of 1,024 is older than that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    _log.info("sockets may be open", files=soft)
