"""A socket's end: what becomes of its watches and of what it holds."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from robyn_server.core.errors import AgenthallError

from .codes import Close
from .held import Held

if TYPE_CHECKING:
    from .session import Session

_log = structlog.get_logger(__name__)


async def leave(session: Session) -> None:
    """Errors are only noted: the leases end by themselves."""
    for each in list(session.watches.values()):
        each.task.cancel()
    stays = session.socket.close_sent is Close.RESTART
    clean = session.socket.close_sent is None and session.socket.left_cleanly
    for held in list(session.held.values()):
        session.release(held.registration_id)
        if not stays:
            await _end(session, held, clean=clean)


async def _end(session: Session, held: Held, *, clean: bool) -> None:
    instances, principal, limits = session.hall.rooms.instances, session.principal, session.hall.limits
    which = principal, held.tenant, held.registration_id, held.epoch
    try:
        async with asyncio.timeout(limits.request_seconds):
            if clean:
                await instances.deregister(*which, "socket closed")
            else:
                await instances.disconnect(*which, limits.grace_seconds)
    except (AgenthallError, TimeoutError) as error:
        _log.warning("a registration could not be ended", registration_id=str(held.registration_id), reason=str(error))
