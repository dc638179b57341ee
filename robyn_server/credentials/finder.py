"""Find the credentials of a run for MCP servers."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import structlog
from pydantic import SecretStr

from robyn_server.core.errors import Invalid, Misconfigured
from robyn_server.core.mcp_credentials import CredentialKind, StoredEntry, choose, server_url
from robyn_server.storage.mcp.credentials import McpCredentials

from .audiences import audiences_of, is_expired
from .caller_tokens import KeptTokens
from .exchange import TokenExchange
from .key_ring import SecretUnreadable
from .keys import Keys
from .oauth.connections import Connections, NotConnected
from .references import CredentialUnusable, read_file, read_variable
from .sealing import entry_binding
from .token_requests import TokenRefused

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RunUser:
    """The user of a run, and the organization that it belongs to.

    `run_id`: None for a caller who is present, with the `token` of the request. Nothing is begun for such a caller: a
    server that needs a connection has no credential.
    """

    run_id: UUID | None
    owner_id: str
    organization_id: UUID | None
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class FoundCredential:
    """A header for a server; or, where `why` is set, the end of a sentence that says why there is none."""

    header: str = ""
    value: SecretStr = field(default=SecretStr(""))
    why: str | None = None
    authorization_url: str | None = None
    """Where the user connects to the server."""


class CredentialFinder:
    """`own_variables`: those of the server itself, which no entry may name."""

    def __init__(
        self,
        stored: McpCredentials,
        keys: Keys,
        own_variables: Collection[str],
        tokens: KeptTokens,
        exchange: TokenExchange,
        connections: Connections,
    ) -> None:
        self._stored = stored
        self._keys = keys
        self._own = frozenset(own_variables)
        self._tokens = tokens
        self._exchange = exchange
        self._connections = connections

    async def find(self, user: RunUser, urls: Sequence[str]) -> dict[str, FoundCredential]:
        """The credentials of those servers that have an entry, by URL as given. Raises Unavailable."""
        compared = {url: same for url in urls if (same := _comparable(url)) is not None}
        if not compared:
            return {}
        entries = choose(
            await self._stored.find_for(user.organization_id, list(compared.values())), user.organization_id
        )
        wanted = {url: entries[same] for url, same in compared.items() if same in entries}
        found = await asyncio.gather(*(self._of(each, user) for each in wanted.values()))
        return dict(zip(wanted, found, strict=True))

    async def _of(self, stored: StoredEntry, user: RunUser) -> FoundCredential:
        try:
            return self._header(stored, await self._secret(stored, user))
        except NotConnected as missing:
            return FoundCredential(why=str(missing), authorization_url=missing.url)
        except (CredentialUnusable, TokenRefused) as unusable:
            return FoundCredential(why=str(unusable))
        except (SecretUnreadable, Misconfigured) as error:
            _log.error("a credential cannot be decrypted", url=stored.entry.url, reason=str(error))
            return FoundCredential(why="its credential cannot be decrypted; the server's log says why")

    async def _secret(self, stored: StoredEntry, user: RunUser) -> str:
        """Raises CredentialUnusable, TokenRefused, NotConnected, SecretUnreadable, Misconfigured, Unavailable."""
        # Opened for references, too: it proves that nobody without the key has edited the row.
        secret = self._keys.open(stored.sealed, entry_binding(stored.entry))
        options = stored.entry.options
        match stored.entry.kind:
            case CredentialKind.ENV:
                return read_variable(options["name"], self._own)
            case CredentialKind.FILE:
                return await asyncio.to_thread(read_file, Path(options["path"]), self._keys.path)
            case CredentialKind.STORED:
                return secret
            case CredentialKind.PASS_THROUGH:
                return _for_audience(await self._callers(user), options["audience"])
            case CredentialKind.EXCHANGE:
                return await self._exchange.token(stored.entry, secret, user.owner_id, await self._callers(user))
            case CredentialKind.CONNECTION:
                return await self._connections.token(
                    stored.entry, secret, user.owner_id, user.organization_id, begins=user.run_id is not None
                )

    async def _callers(self, user: RunUser) -> str:
        """The token of the run's caller. Raises CredentialUnusable."""
        token = user.token if user.run_id is None else await self._tokens.find(user.run_id, user.owner_id)
        if token is None:
            raise CredentialUnusable("it needs the token of the caller, who sent none")
        if is_expired(token):
            raise CredentialUnusable("the token of the caller has expired")
        return token

    @staticmethod
    def _header(stored: StoredEntry, secret: str) -> FoundCredential:
        scheme = stored.entry.options["scheme"]
        return FoundCredential(stored.entry.options["header"], SecretStr(f"{scheme} {secret}".strip()))


def _for_audience(token: str, allowed: str) -> str:
    """Raises CredentialUnusable for a token that is not for one of the audiences, separated by spaces."""
    if audiences_of(token).isdisjoint(allowed.split()):
        raise CredentialUnusable("the token of the caller is for none of the audiences that may be passed to it")
    return token


def _comparable(url: str) -> str | None:
    try:
        return server_url(url)
    except Invalid:
        return None
