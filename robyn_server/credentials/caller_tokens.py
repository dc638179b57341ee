"""The token of a run's caller, from the web process to the worker.

Rules
- It is kept only for a run with a server that gets it, or that may call other agents, which may have such a server.
- It is encrypted, bound to the run and its owner, and deleted when the run ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from robyn_server.concurrency.ttl_cache import TtlCache
from robyn_server.core.access.principal import Principal
from robyn_server.core.errors import Invalid
from robyn_server.core.mcp_credentials import server_url
from robyn_server.storage.mcp.credentials import McpCredentials
from robyn_server.storage.mcp.run_credentials import RunCredentials

from .keys import Keys
from .sealing import run_binding

ENTRIES_SECONDS = 5.0
"""Age up to which a process remembers whether any server gets tokens at all."""


class CallerTokens:
    def __init__(self, entries: McpCredentials, keys: Keys) -> None:
        self._entries = entries
        self._keys = keys
        self._any = TtlCache(self._read_any, seconds=ENTRIES_SECONDS, max_size=1)

    async def seal(self, principal: Principal, run_id: UUID, configurable: Mapping[str, Any]) -> bytes | None:
        """The encrypted token for a run with this configuration; None if it is not needed. Raises Unavailable."""
        if principal.token is None or not await self._is_needed(configurable):
            return None
        return self._keys.seal(principal.token, run_binding(run_id, principal.identity))

    async def _is_needed(self, configurable: Mapping[str, Any]) -> bool:
        urls = _urls(configurable)
        if not (urls or configurable.get("agent_tools")) or not await self._any.get(None):
            return False
        return bool(configurable.get("agent_tools")) or await self._entries.passes_tokens_to(urls)

    async def _read_any(self, _key: None) -> bool:
        return await self._entries.passes_tokens()


def _urls(configurable: Mapping[str, Any]) -> list[str]:
    """The servers of a configuration, in either form. The agent reports what is malformed."""
    config = configurable.get("mcp_config")
    if not isinstance(config, Mapping):
        return []
    servers = config.get("servers") if isinstance(config.get("servers"), list) else [config]
    given = [each.get("url") for each in servers or () if isinstance(each, Mapping)]
    return [same for url in given if isinstance(url, str) and (same := _comparable(url)) is not None]


def _comparable(url: str) -> str | None:
    try:
        return server_url(url)
    except Invalid:
        return None


class KeptTokens:
    """The tokens as a worker reads them."""

    def __init__(self, stored: RunCredentials, keys: Keys) -> None:
        self._stored = stored
        self._keys = keys

    async def find(self, run_id: UUID, owner_id: str) -> str | None:
        """Raises Unavailable, SecretUnreadable, Misconfigured."""
        sealed = await self._stored.find(run_id)
        return None if sealed is None else self._keys.open(sealed, run_binding(run_id, owner_id))
