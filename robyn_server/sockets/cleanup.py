"""Release a session's watches and registrations when its socket closes."""

from __future__ import annotations

import asyncio

import structlog

from robyn_server.core.access.principal import LOCAL
from robyn_server.core.errors import AgenthallError
from robyn_server.sockets.protocol.errors import CloseCode

from .sessions.hub import SessionHub
from .sessions.registrations import HeldRegistration
from .sessions.session import Session

_log = structlog.get_logger(__name__)


async def release_session(hub: SessionHub, session: Session) -> None:
    """Cancel the session's watches, and end its registrations or start their grace.

    Errors are logged: leases lapse anyway.
    """
    for each in list(session.watches.values()):
        each.task.cancel()
    sent = session.socket.close_sent
    is_clean = sent is None and session.socket.closed_cleanly
    # Without the right to be registered there is no grace. A token that expired may be followed by a fresh one.
    is_revoked = sent is CloseCode.TENANT or (sent is CloseCode.CREDENTIALS and not session.has_expired)
    for held in list(session.registrations.values()):
        hub.release(session, held.registration_id)
        if sent is not CloseCode.RESTART:
            await _end(hub, held, is_clean=is_clean, grace=0.0 if is_revoked else hub.limits.grace_seconds)


async def withdraw_session(hub: SessionHub, session: Session, close: CloseCode, reason: str) -> None:
    """End the leases of a session that has lost the right to them, then close its socket.

    In this order, nobody finds the instances any more when the client learns of it. The session keeps them, so that
    they end once more with the socket: a heartbeat that was under way may have revived one.
    """
    for held in list(session.registrations.values()):
        await _end(hub, held, is_clean=False, grace=0.0)
    session.close_after_reply(close, reason)


async def withdraw_foreign(hub: SessionHub, session: Session) -> None:
    """Withdraw a session whose renewed credentials no longer cover a registration."""
    await withdraw_session(hub, session, CloseCode.TENANT, "the credentials no longer belong to the tenant")


async def _end(hub: SessionHub, held: HeldRegistration, *, is_clean: bool, grace: float) -> None:
    instances, limits = hub.dependencies.instances, hub.limits
    # The server acts for itself: credentials that were withdrawn would not permit it.
    which = LOCAL, held.organization_id, held.registration_id, held.epoch
    try:
        async with asyncio.timeout(limits.request_seconds):
            if is_clean:
                await instances.deregister(*which, "socket closed")
            else:
                await instances.disconnect(*which, grace)
    except (AgenthallError, TimeoutError) as error:
        _log.warning("a registration could not be ended", registration_id=str(held.registration_id), reason=str(error))
