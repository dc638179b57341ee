"""Exchange the token of a caller for one that a server takes (RFC 8693). Tokens are kept until they expire.

Rules
- A token is kept for the user and the token that it was exchanged for. No other user or token gets it.
- One request is under way for each of these at a time.
- A token that lasts less than EARLY_SECONDS is exchanged again: a run should not begin with it.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from robyn_server.concurrency.single_flight import SingleFlight
from robyn_server.core.mcp_credentials import CredentialEntry

from .token_requests import ClientSecret, IssuedToken, request_token

if TYPE_CHECKING:
    import httpx

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105  a type, not a token
EARLY_SECONDS = 30.0
MAX_KEPT = 10_000

Key = tuple[str, str, str, str, bytes]


class TokenExchange:
    def __init__(
        self, open_client: Callable[[], httpx.AsyncClient], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._open_client = open_client
        self._clock = clock
        self._kept: OrderedDict[Key, tuple[float, str]] = OrderedDict()
        self._flights: SingleFlight[str] = SingleFlight()

    async def token(self, entry: CredentialEntry, secret: str, owner_id: str, subject: str) -> str:
        """The token for the entry's server. Raises TokenRefused."""
        digest = hashlib.sha256(subject.encode()).digest()
        organization = str(entry.organization_id or "")
        key = (organization, entry.url, repr(sorted(entry.options.items())), owner_id, digest)
        kept = self._kept.get(key)
        if kept is not None and kept[0] > self._clock():
            self._kept.move_to_end(key)
            return kept[1]
        return await self._flights.share(key, lambda: self._exchange(key, entry, secret, subject))

    async def _exchange(self, key: Key, entry: CredentialEntry, secret: str, subject: str) -> str:
        asked_at = self._clock()
        client_secret = ClientSecret(entry.options.get("client_id"), secret or None)
        async with self._open_client() as client:
            issued = await request_token(client, entry.options["token_endpoint"], _form(entry, subject), client_secret)
        self._keep(key, asked_at, issued)
        return issued.access_token

    def _keep(self, key: Key, asked_at: float, issued: IssuedToken) -> None:
        self._kept[key] = (asked_at + issued.seconds - EARLY_SECONDS, issued.access_token)
        self._kept.move_to_end(key)
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)


def _form(entry: CredentialEntry, subject: str) -> dict[str, str]:
    options = entry.options
    wanted = {name: options[name] for name in ("audience", "scope") if options.get(name)}
    return {
        "grant_type": GRANT,
        "subject_token": subject,
        "subject_token_type": ACCESS_TOKEN,
        "requested_token_type": ACCESS_TOKEN,
        "resource": entry.url,
        **wanted,
    }
