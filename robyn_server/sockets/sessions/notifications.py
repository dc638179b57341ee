"""Notifications to a client whose registration is superseded, lapses, drains or ends."""

from __future__ import annotations

from robyn_server.core.registry.instances import EventKind
from robyn_server.sockets.protocol.errors import CloseCode

from .registrations import HeldRegistration
from .session import Session


def notify_superseded(session: Session, held: HeldRegistration) -> None:
    """The instance registered again, on another socket. A session without any other registration or watch is closed."""
    _notify_end(session, held, "agent.superseded", CloseCode.SUPERSEDED, "the instance has registered again, elsewhere")


def notify_lease_lost(session: Session, held: HeldRegistration, kind: EventKind) -> None:
    """The registration ended, and this socket did not end it.

    A session without any other registration or watch is closed.
    """
    detail = f"the registration is over ({kind}); register again"
    _notify_end(session, held, "agent.lease_lost", CloseCode.LEASE_LOST, detail)


def _notify_end(session: Session, held: HeldRegistration, method: str, close: CloseCode, detail: str) -> None:
    session.notify(method, {**held.identity(), "message": detail})
    if session.is_idle:
        session.close_after_reply(close, detail)


def notify_lease_lapsed(session: Session, held: HeldRegistration) -> None:
    """No heartbeat came in time; the next one revives the lease."""
    session.notify("agent.lapsed", {**held.identity(), "message": "the lease has lapsed; a heartbeat revives it"})


def notify_draining(session: Session, held: HeldRegistration, reason: str | None) -> None:
    """The instance, or an operator, asks for the instance to finish its work and take no more."""
    message = "finish what runs; nothing new will come"
    session.notify("agent.draining", {**held.identity(), "reason": reason, "message": message})
