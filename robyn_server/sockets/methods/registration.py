"""The registration that a message is about."""

from __future__ import annotations

from robyn_server.sockets.protocol.params import RegistrationParams
from robyn_server.sockets.sessions.hub import SessionHub
from robyn_server.sockets.sessions.registrations import HeldRegistration, resolve_registration
from robyn_server.sockets.sessions.session import Session

from .organization import resolve_organization


def resolve(hub: SessionHub, session: Session, given: RegistrationParams) -> HeldRegistration:
    """Raises BadRequest when the message must name the registration or its epoch, NotFound, Forbidden."""
    return resolve_registration(session.registrations, given, lambda named: resolve_organization(hub, session, named))
