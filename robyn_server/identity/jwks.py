"""Public keys that verify tokens, from a JSON Web Key Set (RFC 7517).

Rules
  1. A set is fresh for FRESH_SECONDS. Afterwards it is fetched again while the old set is used, at most for
     STALE_SECONDS.
  2. An unknown key id also triggers a fetch, at most every AGAIN_SECONDS: a client can invent key ids.
  3. A key verifies only its own algorithm. Symmetric keys in the set are ignored: no public key is used as an HMAC
     secret (RFC 8725, section 3.1).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import orjson
import structlog

from robyn_server.core.errors import Unauthenticated, Unavailable
from robyn_server.egress.clients import operator_client

ALGORITHMS = frozenset({"RS256", "ES256", "EdDSA"})
FRESH_SECONDS = 600.0
STALE_SECONDS = 3600.0
AGAIN_SECONDS = 30.0
RETRY_SECONDS = 2.0
"""Between attempts while no set has been fetched."""
FETCH_SECONDS = 5.0
MAX_BYTES = 256 * 1024

_KEY_TYPES = frozenset({"RSA", "EC", "OKP"})
_log = structlog.get_logger(__name__)


class JwksError(ValueError):
    """Why a key set cannot be used."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """`kid` None: the set gives no id. `key`: a key object of PyJWT."""

    kid: str | None
    algorithm: str
    key: Any


class Jwks:
    def __init__(self, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._clock = clock
        self._keys: tuple[SigningKey, ...] = ()
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._failed = False
        self._fetching: asyncio.Task[None] | None = None

    async def key(self, kid: str | None, algorithm: str) -> Any:
        """Raises Unauthenticated for a key that is not in the set, Unavailable while that cannot be known."""
        await self._refresh()
        found = self._find(kid, algorithm)
        if found is None and self._age(self._tried_at) >= AGAIN_SECONDS:
            await self._fetch()
            found = self._find(kid, algorithm)
        if found is not None:
            return found.key
        if self._failed:
            raise _unavailable()
        raise Unauthenticated("The token is not valid: its signing key is not known.", code="token_invalid")

    async def stop(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    async def _refresh(self) -> None:
        """Fetch a stale set in the background; wait only when there is no usable set."""
        age = self._age(self._fetched_at)
        if age < FRESH_SECONDS:
            return
        if age < STALE_SECONDS:
            if self._age(self._tried_at) >= AGAIN_SECONDS:
                self._start_fetch()
            return
        if self._age(self._tried_at) >= RETRY_SECONDS or self._fetching is not None:
            await self._fetch()
        if self._age(self._fetched_at) >= STALE_SECONDS:
            raise _unavailable()

    def _age(self, moment: float) -> float:
        return self._clock() - moment

    def _find(self, kid: str | None, algorithm: str) -> SigningKey | None:
        """The key with that id; without an id, the only key of the algorithm."""
        fitting = [key for key in self._keys if key.algorithm == algorithm and kid in {None, key.kid}]
        return fitting[0] if len(fitting) == 1 else None

    async def _fetch(self) -> None:
        await asyncio.shield(self._start_fetch())

    def _start_fetch(self) -> asyncio.Task[None]:
        """Start a fetch, or return the one that is running."""
        if self._fetching is None or self._fetching.done():
            self._tried_at = self._clock()
            self._fetching = asyncio.create_task(self._fetch_once(), name="fetch the JWKS")
            self._fetching.add_done_callback(self._on_fetched)
        return self._fetching

    def _on_fetched(self, _task: asyncio.Task[None]) -> None:
        self._fetching = None

    async def _fetch_once(self) -> None:
        """Never raises: after a failure the old set is kept, as rule 1 says."""
        asked_at = self._clock()
        try:
            keys = await fetch_jwks(self._url)
        except JwksError as error:
            self._failed = True
            _log.warning("AUTH_JWKS_URL cannot be used", url=self._url, reason=str(error))
            return
        self._keys, self._fetched_at, self._failed = keys, asked_at, False


async def fetch_jwks(url: str) -> tuple[SigningKey, ...]:
    """Raises JwksError with the reason."""
    import httpx  # imported here: most installations use no JWKS

    try:
        async with (
            asyncio.timeout(FETCH_SECONDS),
            operator_client(FETCH_SECONDS) as client,
            client.stream("GET", url, headers={"accept": "application/json"}) as answer,
        ):
            answer.raise_for_status()
            return parse_jwks(await _body(answer.aiter_bytes()))
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
        raise JwksError(f"{type(error).__name__} {error}".strip()) from None


async def _body(chunks: AsyncIterator[bytes]) -> bytes:
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > MAX_BYTES:
            raise JwksError(f"its body is larger than {MAX_BYTES} bytes")
    return bytes(body)


def parse_jwks(body: bytes) -> tuple[SigningKey, ...]:
    """The keys that tokens can be verified with. Raises JwksError when there are none, or `body` is not a key set."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        value = None
    listed = value.get("keys") if isinstance(value, dict) else None
    if not isinstance(listed, list):
        raise JwksError("it is not a JSON Web Key Set")
    keys = tuple(key for key in map(_signing_key, listed) if key is not None)
    if not keys:
        raise JwksError(f"it holds no key for any of {', '.join(sorted(ALGORITHMS))}")
    return keys


def _signing_key(jwk: Any) -> SigningKey | None:
    """None for a key of another kind or use: a set may hold those (RFC 7517, section 5)."""
    import jwt  # imported here: it loads cryptography

    if not isinstance(jwk, dict) or jwk.get("kty") not in _KEY_TYPES or jwk.get("use", "sig") != "sig":
        return None
    try:
        made = jwt.PyJWK.from_dict(jwk)
    except jwt.PyJWTError:
        return None
    kid = jwk.get("kid")
    if made.algorithm_name not in ALGORITHMS or not isinstance(kid, str | None):
        return None
    return SigningKey(kid, made.algorithm_name, made.key)


def _unavailable() -> Unavailable:
    return Unavailable("The keys that sign tokens cannot be fetched now; try again.", code="jwks_unavailable")
