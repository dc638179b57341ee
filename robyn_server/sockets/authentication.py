"""Authentication of a socket: by its handshake, by a ticket, or by its first message; and again while it is open.

In AUTH_MODE=none a socket without credentials acts as `local`. An `auth` in a message is verified against
AGENTHALL_DEV_KEY and AGENTHALL_DEV_TENANT nevertheless, so that a client which works here works elsewhere.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from robyn_server.core.access.principal import Principal
from robyn_server.core.errors import BadRequest, Forbidden, Unauthenticated
from robyn_server.identity.authenticator import Authenticator, extract_credential, named_organization
from robyn_server.identity.tickets import TicketService

CREDENTIAL_HEADERS = ("authorization", "x-api-key")


@dataclass(frozen=True, slots=True)
class PresentedCredentials:
    """Headers of the handshake, or the key or token of a message.

    Kept while the socket is open, to verify them again.
    """

    credential: Mapping[str, str] | str
    organization_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class AuthenticatedSocket:
    principal: Principal
    credentials: PresentedCredentials


@dataclass(frozen=True, slots=True)
class DevelopmentCredentials:
    """The key and the organization of AUTH_MODE=none. `key` None: no key is valid."""

    key: str | None = None
    organization_id: UUID | None = None


class SocketAuthenticator:
    """`development` None: credentials are required (AUTH_MODE is not none)."""

    def __init__(
        self, identity: Authenticator, tickets: TicketService, development: DevelopmentCredentials | None
    ) -> None:
        self._identity = identity
        self._tickets = tickets
        self._development = development

    async def authenticate_handshake(
        self, headers: Mapping[str, str], ticket: str | None
    ) -> AuthenticatedSocket | None:
        """Return None without credentials: the first message must present them.

        Raises Unauthenticated, Forbidden, Invalid, Unavailable.
        """
        credentials = _credentials(headers)
        if ticket is not None:
            credentials = self._from_ticket(_credentials(await self._tickets.redeem(ticket)), credentials)
        if not credentials.credential and self._development is None:
            return None
        return await self.authenticate(credentials)

    def _from_ticket(self, ticket: PresentedCredentials, headers: PresentedCredentials) -> PresentedCredentials:
        """The credentials that the ticket was issued for; headers may name the organization.

        Raises BadRequest for headers with other credentials, Unauthenticated for a malformed key in them.
        """
        given = None if self._development is not None else extract_credential(headers.credential)
        if given is not None and given != extract_credential(ticket.credential):
            raise BadRequest(
                "The ticket and the headers beside it name two different credentials; send one of them.",
                code="credentials_contradict",
            )
        return PresentedCredentials(ticket.credential, headers.organization_id or ticket.organization_id)

    async def authenticate(self, credentials: PresentedCredentials) -> AuthenticatedSocket:
        """Raises Unauthenticated, Forbidden, Unavailable."""
        if self._development is not None and isinstance(credentials.credential, str):
            _check_development(self._development, credentials.credential, credentials.organization_id)
            organization_id = credentials.organization_id or self._development.organization_id
            principal = await self._identity.identify({}, organization_id)
        else:
            principal = await self._identity.identify(credentials.credential, credentials.organization_id)
        return AuthenticatedSocket(principal, credentials)


def _credentials(headers: Mapping[str, str]) -> PresentedCredentials:
    """Raises Invalid."""
    credential = {name: headers[name] for name in CREDENTIAL_HEADERS if name in headers}
    return PresentedCredentials(credential, named_organization(headers))


def _check_development(development: DevelopmentCredentials, key: str, organization_id: UUID | None) -> None:
    if development.key is None or not hmac.compare_digest(key.encode(), development.key.encode()):
        raise Unauthenticated(
            "The API key is not valid. In AUTH_MODE=none, AGENTHALL_DEV_KEY is the only one.", code="key_invalid"
        )
    if organization_id is not None and organization_id != development.organization_id:
        raise Forbidden(f"You are not a member of organization {organization_id}.", field="tenant_id")
