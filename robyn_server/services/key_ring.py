"""Verifying API keys: one indexed lookup for each prefix in SECONDS, found or not, and none for a text that no key can have.

Only rows are remembered, never a key's text: a wrong secret under a known prefix costs a hash and no query.
"""

from __future__ import annotations

import asyncio

import structlog

from robyn_server.core.api_key import ApiKeyText, find_api_key
from robyn_server.core.errors import AgenthallError, Unauthenticated
from robyn_server.core.principal import Kind, Principal
from robyn_server.storage.api_keys import ApiKeys, KnownKey

from .remembered import Remembered

SECONDS = 3.0
"""A revocation is in force everywhere after this long at the latest; where its notification arrives, at once."""
MOST = 10_000
"""Prefixes, unknown ones among them: about 8 MB at most."""

_log = structlog.get_logger(__name__)


class KeyRing:
    def __init__(self, keys: ApiKeys, *, seconds: float = SECONDS, most: int = MOST) -> None:
        self._keys = keys
        self._known: Remembered[str, KnownKey | None] = Remembered(keys.find, seconds=seconds, most=most)
        self._noting: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._known)

    async def principal(self, text: str) -> Principal:
        """Raises Unauthenticated: key_invalid, key_revoked, key_expired (these two only to who has the whole key); Unavailable."""
        given = find_api_key(text)
        known = None if given is None else await self._known.get(given.prefix)
        if given is None or known is None or not given.matches(known.digest):
            raise Unauthenticated("The API key is not valid.", code="key_invalid")
        if known.is_revoked:
            raise Unauthenticated("The API key was revoked.", code="key_revoked")
        if known.is_expired:
            raise Unauthenticated("The API key has expired.", code="key_expired")
        self._note_use(given, known)
        return Principal(
            known.identity,
            known.organizations,
            frozenset() if known.scopes is None else known.scopes,
            Kind(known.kind),
            limited=known.scopes is not None,
            expires_at=known.expires_at,
        )

    def forget(self, prefix: str) -> None:
        self._known.forget(prefix)

    def forget_all(self) -> None:
        self._known.forget_all()

    async def stop(self) -> None:
        """Uses that are being written may take a moment more; then they are dropped."""
        if self._noting:
            _, late = await asyncio.wait(self._noting, timeout=1.0)
            for task in late:
                task.cancel()

    def _note_use(self, given: ApiKeyText, known: KnownKey) -> None:
        if known.is_use_unwritten:
            known.is_use_unwritten = False
            task = asyncio.create_task(self._write_use(given.prefix), name="note the use of an API key")
            self._noting.add(task)
            task.add_done_callback(self._noting.discard)

    async def _write_use(self, prefix: str) -> None:
        try:
            await self._keys.used(prefix)
        except AgenthallError as error:
            _log.warning("the use of an API key was not written", prefix=prefix, error=str(error))
