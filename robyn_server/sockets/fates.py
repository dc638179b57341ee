"""What befalls a registration while its socket is open, and how its client is told."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from robyn_server.core.registry import EventKind

from .codes import Close

if TYPE_CHECKING:
    from .session import Session


def superseded(session: Session, registration_id: UUID) -> None:
    """The instance has registered elsewhere."""
    detail = "the instance has registered again, elsewhere"
    _let_go(session, registration_id, "agent.superseded", Close.SUPERSEDED, detail)


def lost(session: Session, registration_id: UUID, kind: EventKind) -> None:
    """The registration is over, and this socket did not end it."""
    detail = f"the registration is over ({kind}); register again"
    _let_go(session, registration_id, "agent.lease_lost", Close.LEASE_LOST, detail)


def _let_go(session: Session, registration_id: UUID, method: str, close: Close, detail: str) -> None:
    held = session.held.get(registration_id)
    if held is None:
        return
    session.release(registration_id)
    session.notify(method, {"registration_id": registration_id, "epoch": held.epoch, "message": detail})
    if session.is_idle:
        session.part(close, detail)


def lapsed(session: Session, registration_id: UUID) -> None:
    """No heartbeat came in time. The next one revives it."""
    epoch = session.held[registration_id].epoch
    detail = "the lease has lapsed; a heartbeat revives it"
    session.notify("agent.lapsed", {"registration_id": registration_id, "epoch": epoch, "message": detail})


def draining(session: Session, registration_id: UUID, reason: str | None) -> None:
    """Somebody wants it to finish what it has: itself, or an operator."""
    epoch = session.held[registration_id].epoch
    params = {"registration_id": registration_id, "epoch": epoch, "reason": reason}
    session.notify("agent.draining", params | {"message": "finish what runs; nothing new will come"})
