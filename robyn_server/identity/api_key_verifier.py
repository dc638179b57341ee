"""Verify API keys with one indexed lookup per prefix and SECONDS, and none for a malformed key.

Rows are cached, never the text of a key: a wrong secret with a known prefix costs a hash and no query.
"""

from __future__ import annotations

from datetime import datetime

from robyn_server.concurrency.ttl_cache import TtlCache
from robyn_server.core.access.api_key import ApiKeyText, find_api_key
from robyn_server.core.access.principal import Kind, Principal
from robyn_server.core.errors import Unauthenticated
from robyn_server.storage.api_keys import ApiKeys, KnownKey, PreviousSecret

from .api_key_uses import ApiKeyUses

SECONDS = 3.0
"""A revocation takes effect everywhere within this time; at once where its notification arrives."""
MAX_PREFIXES = 10_000
"""Prefixes, unknown ones among them: about 8 MB at most."""


class ApiKeyVerifier:
    def __init__(self, keys: ApiKeys, *, seconds: float = SECONDS, max_size: int = MAX_PREFIXES) -> None:
        self._keys = keys
        self._known: TtlCache[str, KnownKey | None] = TtlCache(keys.find, seconds=seconds, max_size=max_size)
        self._uses = ApiKeyUses(keys)

    def __len__(self) -> int:
        return len(self._known)

    async def principal(self, text: str) -> Principal:
        """Raises Unauthenticated: key_invalid, and only with a right secret key_revoked, key_expired, key_rotated;
        Unavailable."""
        given = find_api_key(text)
        known = None if given is None else await self._known.get(given.prefix)
        if given is None or known is None:
            raise _invalid()
        previous = _previous_secret(given, known)
        if known.is_revoked:
            raise Unauthenticated("The API key was revoked.", code="key_revoked")
        if known.is_expired:
            raise Unauthenticated("The API key has expired.", code="key_expired")
        if previous is not None and previous.is_over:
            raise Unauthenticated("The API key was rotated; use its new secret.", code="key_rotated")
        self._record_use(given, known)
        return Principal(
            known.identity,
            known.organizations,
            frozenset() if known.scopes is None else known.scopes,
            Kind(known.kind),
            limited=known.scopes is not None,
            expires_at=known.expires_at if previous is None else _earlier(known.expires_at, previous.expires_at),
            agents=known.agents,
            assistants=known.assistants,
        )

    def forget(self, prefix: str) -> None:
        self._known.invalidate(prefix)

    def forget_all(self) -> None:
        self._known.invalidate_all()

    async def stop(self) -> None:
        """Write the uses of keys that are left, if that takes at most a second."""
        await self._uses.stop()

    def _record_use(self, given: ApiKeyText, known: KnownKey) -> None:
        if known.is_use_unwritten:
            known.is_use_unwritten = False
            self._uses.record(given.prefix)


def _previous_secret(given: ApiKeyText, known: KnownKey) -> PreviousSecret | None:
    """The secret before the last rotation, if the text is that one; None: it is the present one.

    Raises Unauthenticated.
    """
    if given.matches(known.digest):
        return None
    if known.previous is None or not given.matches(known.previous.digest):
        raise _invalid()
    return known.previous


def _invalid() -> Unauthenticated:
    return Unauthenticated("The API key is not valid.", code="key_invalid")


def _earlier(expires_at: datetime | None, until: datetime) -> datetime:
    return until if expires_at is None else min(expires_at, until)
