"""Making, listing and revoking API keys, for administrators and for whoever has the database (`agenthall keys`)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from robyn_server.core.api_key import KEY_IDENTITY, ApiKeyText, find_prefix, mint
from robyn_server.core.errors import Invalid, NotFound
from robyn_server.core.principal import Kind, Principal
from robyn_server.core.scopes import PRIVILEGED, Scope, parse_scopes
from robyn_server.storage.api_keys import ApiKey, ApiKeys, NewApiKey

from .tokens import LONGEST_SUBJECT, is_reserved

LONGEST_NAME = 200
LONGEST_LIFETIME = timedelta(days=3650)
MOST_ORGANIZATIONS = 1000
_KINDS = (Kind.SERVICE, Kind.INSTANCE)


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """`scopes` None: not limited, the rights of a member. `identity` None: `key:<prefix>`. `lifetime` None: without end."""

    organizations: frozenset[UUID]
    name: str = ""
    scopes: tuple[str, ...] | None = None
    lifetime: timedelta | None = None
    identity: str | None = None
    kind: str = Kind.SERVICE


@dataclass(frozen=True, slots=True)
class MadeKey:
    """`text` is the secret, and this is the only time that it exists outside of its owner's hands."""

    text: ApiKeyText
    key: ApiKey


class ApiKeyService:
    def __init__(self, keys: ApiKeys) -> None:
        self._keys = keys

    async def create(self, principal: Principal, request: KeyRequest) -> MadeKey:
        """Raises Forbidden, Invalid naming the field."""
        principal.require(Scope.ADMIN)
        text = mint()
        key = await self._keys.create(text, _checked(text.prefix, request, principal.identity))
        return MadeKey(text, key)

    async def search(
        self, principal: Principal, organization: UUID | None, *, limit: int, offset: int
    ) -> tuple[list[ApiKey], int]:
        """A page, newest first, and the number of all. Raises Forbidden."""
        principal.require(Scope.ADMIN)
        return await self._keys.search(organization, limit=limit, offset=offset)

    async def revoke(self, principal: Principal, named: str) -> ApiKey:
        """By prefix, or by the whole key. For good; a second time changes nothing. Raises Forbidden, NotFound."""
        principal.require(Scope.ADMIN)
        prefix = find_prefix(named)
        key = None if prefix is None else await self._keys.revoke(prefix)
        if key is None:
            raise NotFound("There is no API key with this prefix.")
        return key


def _checked(prefix: str, request: KeyRequest, created_by: str) -> NewApiKey:
    return NewApiKey(
        _line(request.name, "name", LONGEST_NAME),
        _identity(request.identity, prefix),
        _kind(request.kind),
        _organizations(request),
        _scopes(request.scopes),
        _lifetime(request.lifetime),
        created_by,
    )


def _line(text: str, field: str, longest: int) -> str:
    if len(text) > longest or not text.isprintable():
        raise Invalid(f"{field}: must be at most {longest} printable characters", field=field)
    return text


def _identity(given: str | None, prefix: str) -> str:
    if given is None:
        return f"{KEY_IDENTITY}{prefix}"
    if not given.strip() or is_reserved(given):
        raise Invalid(f"identity: {given!r} is a name of the server's own, or none at all", field="identity")
    return _line(given, "identity", LONGEST_SUBJECT)


def _kind(name: str) -> str:
    if name not in _KINDS:
        raise Invalid(f"kind: must be one of {', '.join(_KINDS)}", field="kind")
    return name


def _scopes(names: tuple[str, ...] | None) -> frozenset[str] | None:
    if names is not None and not names:
        raise Invalid("scopes: an empty list; leave it out for a key that is not limited", field="scopes")
    return None if names is None else parse_scopes(names)


def _organizations(request: KeyRequest) -> frozenset[UUID]:
    """A key without any is good for nothing, unless its scopes reach past organisations."""
    if not request.organizations and not (request.scopes and PRIVILEGED.issuperset(request.scopes)):
        raise Invalid("organizations: name at least one (`--tenant`)", field="organizations")
    if len(request.organizations) > MOST_ORGANIZATIONS:
        raise Invalid(f"organizations: at most {MOST_ORGANIZATIONS}", field="organizations")
    return request.organizations


def _lifetime(given: timedelta | None) -> timedelta | None:
    if given is not None and not timedelta(0) < given <= LONGEST_LIFETIME:
        raise Invalid(f"expires: must be more than nothing and at most {LONGEST_LIFETIME.days} days", field="expires")
    return given
