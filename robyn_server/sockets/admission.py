"""Who dials in: credentials from the handshake, from a ticket, or from the first message. Verified, and verified again.

In AUTH_MODE=none a socket that shows nothing acts as `local`; an `auth` in a message is verified all the same, against
AGENTHALL_DEV_KEY and AGENTHALL_DEV_TENANT, so that a client which works here works elsewhere.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from robyn_server.core.errors import BadRequest, Forbidden, Unauthenticated
from robyn_server.core.principal import Principal
from robyn_server.services.identity import named_organization, presented
from robyn_server.services.own_machine import refuse_forwarded, refuse_name

from . import ports

CREDENTIAL_HEADERS = ("authorization", "x-api-key")


@dataclass(frozen=True, slots=True)
class Shown:
    """What was presented: headers, or the key or token of a message. Kept for as long as the socket, to verify it again."""

    credential: Mapping[str, str] | str
    organization: UUID | None = None


@dataclass(frozen=True, slots=True)
class Admitted:
    principal: Principal
    shown: Shown


@dataclass(frozen=True, slots=True)
class Development:
    """The key and the tenant of AUTH_MODE=none. `key` None: no key is right."""

    key: str | None = None
    tenant: UUID | None = None


class Admission:
    """`development` None: credentials are asked for (AUTH_MODE is not none)."""

    def __init__(self, identity: ports.Credentials, tickets: ports.Tickets, development: Development | None) -> None:
        self._identity = identity
        self._tickets = tickets
        self._development = development

    async def from_handshake(self, headers: Mapping[str, str], ticket: str | None) -> Admitted | None:
        """None: nothing was shown, and the first message must do it. Raises Unauthenticated, Forbidden, Invalid, Unavailable."""
        if self._development is not None:
            refuse_forwarded(headers)
            refuse_name(headers.get("host", ""))
        shown = _shown(headers)
        if ticket is not None:
            shown = self._by_ticket(_shown(await self._tickets.take(ticket)), shown)
        if not shown.credential and self._development is None:
            return None
        return await self.verified(shown)

    def _by_ticket(self, kept: Shown, beside: Shown) -> Shown:
        """What the ticket was made with; the organisation may be named now. Raises BadRequest, and Unauthenticated for a key beside it
        that is not of our make."""
        told = None if self._development is not None else presented(beside.credential)
        if told is not None and told != presented(kept.credential):
            raise BadRequest(
                "The ticket and the headers beside it name two different credentials; send one of them.",
                code="credentials_contradict",
            )
        return Shown(kept.credential, beside.organization or kept.organization)

    async def verified(self, shown: Shown) -> Admitted:
        """Raises Unauthenticated, Forbidden, Unavailable."""
        if self._development is not None and isinstance(shown.credential, str):
            _check_development(self._development, shown.credential, shown.organization)
            principal = await self._identity.identify({}, shown.organization or self._development.tenant)
        else:
            principal = await self._identity.identify(shown.credential, shown.organization)
        return Admitted(principal, shown)


def _shown(headers: Mapping[str, str]) -> Shown:
    """Raises Invalid."""
    credential = {name: headers[name] for name in CREDENTIAL_HEADERS if name in headers}
    return Shown(credential, named_organization(headers))


def _check_development(development: Development, key: str, tenant: UUID | None) -> None:
    if development.key is None or not hmac.compare_digest(key.encode(), development.key.encode()):
        raise Unauthenticated(
            "The API key is not valid. In AUTH_MODE=none, AGENTHALL_DEV_KEY is the only one.", code="key_invalid"
        )
    if tenant is not None and tenant != development.tenant:
        raise Forbidden(f"You are not a member of organization {tenant}.", field="tenant_id")
