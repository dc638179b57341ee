"""Verify API keys with one indexed lookup per prefix and SECONDS, and none for a malformed key.

Rows are cached, never the text of a key: a wrong secret with a known prefix costs a hash and no query.
"""

from __future__ import annotations

import asyncio

import structlog

from robyn_server.concurrency.ttl_cache import TtlCache
from robyn_server.core.access.api_key import ApiKeyText, find_api_key
from robyn_server.core.access.principal import Kind, Principal
from robyn_server.core.errors import AgenthallError, Unauthenticated
from robyn_server.storage.api_keys import ApiKeys, KnownKey

SECONDS = 3.0
"""A revocation takes effect everywhere within this time; at once where its notification arrives."""
MAX_PREFIXES = 10_000
"""Prefixes, unknown ones among them: about 8 MB at most."""

_log = structlog.get_logger(__name__)


class ApiKeyVerifier:
    def __init__(self, keys: ApiKeys, *, seconds: float = SECONDS, max_size: int = MAX_PREFIXES) -> None:
        self._keys = keys
        self._known: TtlCache[str, KnownKey | None] = TtlCache(keys.find, seconds=seconds, max_size=max_size)
        self._writes: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._known)

    async def principal(self, text: str) -> Principal:
        """Raises Unauthenticated: key_invalid, key_revoked, key_expired (the last two only with the right secret);
        Unavailable."""
        given = find_api_key(text)
        known = None if given is None else await self._known.get(given.prefix)
        if given is None or known is None or not given.matches(known.digest):
            raise Unauthenticated("The API key is not valid.", code="key_invalid")
        if known.is_revoked:
            raise Unauthenticated("The API key was revoked.", code="key_revoked")
        if known.is_expired:
            raise Unauthenticated("The API key has expired.", code="key_expired")
        self._record_use(given, known)
        return Principal(
            known.identity,
            known.organizations,
            frozenset() if known.scopes is None else known.scopes,
            Kind(known.kind),
            limited=known.scopes is not None,
            expires_at=known.expires_at,
            agents=known.agents,
        )

    def forget(self, prefix: str) -> None:
        self._known.invalidate(prefix)

    def forget_all(self) -> None:
        self._known.invalidate_all()

    async def stop(self) -> None:
        """Wait up to a second for pending writes of key use, then cancel them."""
        if self._writes:
            _, late = await asyncio.wait(self._writes, timeout=1.0)
            for task in late:
                task.cancel()

    def _record_use(self, given: ApiKeyText, known: KnownKey) -> None:
        if known.is_use_unwritten:
            known.is_use_unwritten = False
            task = asyncio.create_task(self._write_use(given.prefix), name="record the use of an API key")
            self._writes.add(task)
            task.add_done_callback(self._writes.discard)

    async def _write_use(self, prefix: str) -> None:
        try:
            await self._keys.touch(prefix)
        except AgenthallError as error:
            _log.warning("the use of an API key was not written", prefix=prefix, error=str(error))
