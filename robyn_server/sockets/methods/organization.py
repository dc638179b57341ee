"""The organization that a message is about."""

from __future__ import annotations

from uuid import UUID

from robyn_server.sockets.sessions.hub import SessionHub
from robyn_server.sockets.sessions.session import Session


def resolve_organization(hub: SessionHub, session: Session, named: UUID | None) -> UUID:
    """The one that a message names, else that of the session. Raises Forbidden, BadRequest."""
    return hub.dependencies.select_organization(session.principal, named or session.organization_id)
