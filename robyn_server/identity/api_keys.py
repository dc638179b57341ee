"""Create, list, rotate and revoke API keys: administrators over the API, `agenthall keys` on the database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from robyn_server.core.access.api_key import KEY_IDENTITY, ApiKeyText, find_prefix, mint
from robyn_server.core.access.permissions import Operation, require
from robyn_server.core.access.principal import Kind, Principal
from robyn_server.core.access.scopes import BEYOND_ORGANIZATIONS, Scope, parse_scopes
from robyn_server.core.errors import Conflict, Invalid, NotFound
from robyn_server.storage.api_keys import ApiKey, ApiKeys, NewApiKey

from .tokens import MAX_SUBJECT_LENGTH, is_reserved

MAX_NAME_LENGTH = 200
MAX_LIFETIME = timedelta(days=3650)
MAX_ORGANIZATIONS = 1000
MAX_ASSISTANTS = 64
MAX_OVERLAP = timedelta(days=90)
DEFAULT_OVERLAP = timedelta(days=1)
"""How long the old secret of a rotated key is valid."""
_KINDS = (Kind.SERVICE, Kind.INSTANCE)


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """`scopes` None: not limited, the rights of a member.

    `agents`: the agent_ids whose instances it may write; None: any. `assistants`: the only ones that it may run; None:
    any. `identity` None: `key:<prefix>`. `lifetime` None:
    without end.
    """

    organizations: frozenset[UUID]
    name: str = ""
    scopes: tuple[str, ...] | None = None
    lifetime: timedelta | None = None
    identity: str | None = None
    kind: str = Kind.SERVICE
    agents: tuple[str, ...] | None = None
    assistants: tuple[UUID, ...] | None = None


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """`text` is the secret. It is returned once and never stored."""

    text: ApiKeyText
    key: ApiKey


class ApiKeyService:
    def __init__(self, keys: ApiKeys) -> None:
        self._keys = keys

    async def create(self, principal: Principal, request: KeyRequest) -> IssuedKey:
        """Raises Forbidden, Invalid naming the field."""
        require(principal, Operation.KEYS_CREATE)
        text = mint()
        key = await self._keys.create(text, _validate(text.prefix, request, principal))
        return IssuedKey(text, key)

    async def search(
        self, principal: Principal, organization: UUID | None, *, limit: int, offset: int
    ) -> tuple[list[ApiKey], int]:
        """A page, newest first, and the number of all. Raises Forbidden."""
        require(principal, Operation.KEYS_READ)
        return await self._keys.search(organization, limit=limit, offset=offset)

    async def rotate(self, principal: Principal, named: str, overlap: timedelta = DEFAULT_OVERLAP) -> IssuedKey:
        """Give a key a new secret. The old one stays valid for `overlap`.

        Everything else stays, also the prefix and so the identity. Raises Forbidden, NotFound, Invalid, Conflict (it
        was revoked or has expired).
        """
        require(principal, Operation.KEYS_ROTATE)
        if not timedelta(0) <= overlap <= MAX_OVERLAP:
            raise Invalid(f"overlap: must be at most {MAX_OVERLAP.days} days", field="overlap")
        prefix = find_prefix(named)
        text = None if prefix is None else mint(prefix)
        key = None if text is None else await self._keys.rotate(text, overlap, by=principal)
        if text is None or key is None:
            raise await self._not_rotated(prefix)
        return IssuedKey(text, key)

    async def _not_rotated(self, prefix: str | None) -> NotFound | Conflict:
        found = None if prefix is None else await self._keys.get(prefix)
        if found is None:
            return _missing()
        return Conflict(f"The API key is {found.status}. Create another one.", code="key_not_active")

    async def revoke(self, principal: Principal, named: str) -> ApiKey:
        """Revoke by prefix, or by the whole key. Revoking again changes nothing. Raises Forbidden, NotFound."""
        require(principal, Operation.KEYS_REVOKE)
        prefix = find_prefix(named)
        key = None if prefix is None else await self._keys.revoke(prefix, by=principal)
        if key is None:
            raise _missing()
        return key


def _missing() -> NotFound:
    return NotFound("There is no API key with this prefix.")


def _validate(prefix: str, request: KeyRequest, by: Principal) -> NewApiKey:
    return NewApiKey(
        _line(request.name, "name", MAX_NAME_LENGTH),
        _identity(request.identity, prefix),
        _kind(request.kind),
        _organizations(request),
        _scopes(request.scopes),
        _agents(request),
        _assistants(request),
        _lifetime(request.lifetime),
        by.identity,
        by.request_id,
    )


def _line(text: str, field: str, max_length: int) -> str:
    if len(text) > max_length or not text.isprintable():
        raise Invalid(f"{field}: must be at most {max_length} printable characters", field=field)
    return text


def _identity(given: str | None, prefix: str) -> str:
    if given is None:
        return f"{KEY_IDENTITY}{prefix}"
    if not given.strip() or is_reserved(given):
        raise Invalid(f"identity: {given!r} is reserved or empty", field="identity")
    return _line(given, "identity", MAX_SUBJECT_LENGTH)


def _kind(name: str) -> str:
    if name not in _KINDS:
        raise Invalid(f"kind: must be one of {', '.join(_KINDS)}", field="kind")
    return name


def _scopes(names: tuple[str, ...] | None) -> frozenset[str] | None:
    if names is not None and not names:
        raise Invalid("scopes: an empty list; leave it out for a key that is not limited", field="scopes")
    return None if names is None else parse_scopes(names)


def _agents(request: KeyRequest) -> frozenset[str] | None:
    """The database refuses what is no agent_id."""
    if request.agents is None:
        return None
    if not request.agents:
        raise Invalid("agents: an empty list; leave it out for a key that is not bound", field="agents")
    if Scope.ADMIN in (request.scopes or ()):
        raise Invalid("agents: a key with the scope admin writes all agents; leave one of them out", field="agents")
    return frozenset(request.agents)


def _assistants(request: KeyRequest) -> frozenset[UUID] | None:
    if request.assistants is None:
        return None
    if not request.assistants or len(set(request.assistants)) > MAX_ASSISTANTS:
        raise Invalid(
            f"assistants: 1 to {MAX_ASSISTANTS}; leave it out for a key that is not bound", field="assistants"
        )
    if Scope.ADMIN in (request.scopes or ()):
        raise Invalid("assistants: a key with the scope admin runs all; leave one of them out", field="assistants")
    return frozenset(request.assistants)


def _organizations(request: KeyRequest) -> frozenset[UUID]:
    """Raises Invalid for a key without an organization, unless all its scopes reach beyond organizations."""
    if not request.organizations and not (request.scopes and BEYOND_ORGANIZATIONS.issuperset(request.scopes)):
        raise Invalid("organizations: name at least one (`--tenant`)", field="organizations")
    if len(request.organizations) > MAX_ORGANIZATIONS:
        raise Invalid(f"organizations: at most {MAX_ORGANIZATIONS}", field="organizations")
    return request.organizations


def _lifetime(given: timedelta | None) -> timedelta | None:
    if given is not None and not timedelta(0) < given <= MAX_LIFETIME:
        raise Invalid(f"expires: must be more than nothing and at most {MAX_LIFETIME.days} days", field="expires")
    return given
