"""The operator's entries: put, list, delete, and encrypt again with the current key."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit
from uuid import UUID

from robyn_server.core.errors import Invalid, NotFound
from robyn_server.core.mcp_credentials import CredentialEntry, CredentialKind, StoredEntry, server_url
from robyn_server.core.urls.hosts import LOOPBACK
from robyn_server.storage.mcp.connections import McpConnections
from robyn_server.storage.mcp.credentials import McpCredentials

from .key_ring import SecretUnreadable, sealing_key
from .keys import Keys
from .sealing import client_binding, connection_binding, entry_binding

_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}")
_SCHEME = re.compile(r"[A-Za-z0-9-]{0,32}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_REFUSED_HEADERS = frozenset(
    {"host", "content-length", "content-type", "transfer-encoding", "connection", "accept", "mcp-session-id"}
)


@dataclass(frozen=True, slots=True)
class Resealed:
    """`unreadable`: URLs of entries that no key of the ring opens."""

    changed: int
    unreadable: tuple[str, ...]


class _Ciphertext(NamedTuple):
    """`write` replaces it, and returns False if it was replaced meanwhile."""

    url: str
    sealed: bytes
    binding: bytes
    write: Callable[[bytes], Awaitable[bool]]


class CredentialEntries:
    def __init__(self, stored: McpCredentials, keys: Keys, connections: McpConnections) -> None:
        self._stored = stored
        self._keys = keys
        self._connections = connections

    async def put(self, entry: CredentialEntry, secret: str, updated_by: str) -> StoredEntry:
        """Create or replace an entry. `secret`: of a kind that has one, else empty. Raises Invalid, Misconfigured."""
        checked = CredentialEntry(entry.organization_id, server_url(entry.url), entry.kind, _checked(entry))
        _check_secret(checked.kind, secret)
        return await self._stored.put(checked, self._keys.seal(secret, entry_binding(checked)), updated_by)

    async def list(self) -> tuple[StoredEntry, ...]:
        return tuple([each async for each in self._stored.walk()])

    async def delete(self, url: str, organization_id: UUID | None) -> None:
        """Raises Invalid, NotFound."""
        if not await self._stored.delete(server_url(url), organization_id):
            raise NotFound("There is no credential for this server and organization.")

    async def rotate(self, *, new_key: bool) -> Resealed:
        """Encrypt all entries with the current key; with `new_key`, put one into the file of keys first.

        Raises Invalid where the keys are not in a file, Misconfigured.
        """
        if new_key:
            if not self._keys.are_in_file:
                raise Invalid("the keys are in AGENTHALL_SECRET_KEY; put a new one in front there", field="new_key")
            self._keys.ring()
            self._keys.add_to_file()
        changed, unreadable = 0, set[str]()
        async for each in self._ciphertexts():
            try:
                changed += await self._reseal(each)
            except SecretUnreadable:
                unreadable.add(each.url)
        return Resealed(changed, tuple(sorted(unreadable)))

    async def _ciphertexts(self) -> AsyncIterator[_Ciphertext]:
        """All that outlive a run: entries, connections of users, and registered clients."""
        async for entry in self._stored.walk():
            yield _Ciphertext(
                entry.entry.url, entry.sealed, entry_binding(entry.entry), partial(self._stored.reseal, entry)
            )
        async for each in self._connections.walk_connections():
            binding = connection_binding(each.owner_id, each.organization_id, each.url, each.issuer)
            yield _Ciphertext(each.url, each.sealed, binding, partial(self._connections.reseal_connection, each))
        for client in await self._connections.clients():
            binding = client_binding(client.issuer, client.redirect_uri)
            yield _Ciphertext(client.issuer, client.sealed, binding, partial(self._connections.reseal_client, client))

    async def _reseal(self, given: _Ciphertext) -> bool:
        secret = self._keys.open(given.sealed, given.binding)
        if sealing_key(given.sealed) == self._keys.ring().current:
            return False
        return await given.write(self._keys.seal(secret, given.binding))


def _check_secret(kind: CredentialKind, secret: str) -> None:
    """A client at a token endpoint may be a public one, without a secret. Raises Invalid."""
    if kind is CredentialKind.STORED and not secret:
        raise Invalid("a stored credential needs a secret", field="secret")
    if secret and kind not in {CredentialKind.STORED, CredentialKind.EXCHANGE, CredentialKind.CONNECTION}:
        raise Invalid(f"a credential of kind {kind} has no secret of its own", field="secret")


def _checked(entry: CredentialEntry) -> dict[str, str]:
    """The options without those that have their default. Raises Invalid."""
    options = dict(entry.options)
    header, scheme = options.pop("header", "Authorization"), options.pop("scheme", "Bearer")
    if not _HEADER.fullmatch(header) or header.lower() in _REFUSED_HEADERS:
        raise Invalid("header: must be the name of a header that the protocol does not use", field="header")
    if not _SCHEME.fullmatch(scheme):
        raise Invalid("scheme: must be a word, such as Bearer, or empty", field="scheme")
    _check_reference(entry.kind, options)
    kept = {"header": header, "scheme": scheme if header == "Authorization" else ""}
    return {**options, **kept}


def _check_reference(kind: CredentialKind, options: dict[str, str]) -> None:
    if kind is CredentialKind.ENV and not _VARIABLE.fullmatch(options.get("name", "")):
        raise Invalid("env: must be the name of a variable", field="env")
    if kind is CredentialKind.FILE and not Path(options.get("path", "")).is_absolute():
        raise Invalid("file: must be an absolute path", field="file")
    if kind is CredentialKind.PASS_THROUGH and not options.get("audience", "").split():
        raise Invalid("audience: name the audiences of tokens that may be passed on", field="audience")
    if kind is CredentialKind.EXCHANGE:
        _check_endpoint(options.get("token_endpoint", ""))


def _check_endpoint(url: str) -> None:
    """Require TLS: tokens of users are sent there. Raises Invalid."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    except ValueError:
        usable = False
    if not usable:
        raise Invalid("token_endpoint: must be an https URL, or http on loopback", field="token_endpoint")
