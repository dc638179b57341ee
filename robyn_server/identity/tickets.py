"""Single-use tickets that authenticate a WebSocket.

A browser cannot send headers with a WebSocket, and a key must not be part of a URL. So an authenticated client requests
a ticket over HTTP and opens the socket with it.

A ticket is 256 random bits. The database stores its hash, and the client's credentials encrypted with a key derived
from the ticket (AES-256-GCM, HMAC), so a reader of the table learns neither. The credentials are verified when the
ticket is redeemed and while the socket is open, so a ticket outlives neither its token nor its key.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson

from robyn_server.core.errors import Unauthenticated
from robyn_server.storage.registry.tickets import SocketTickets

LIFETIME = timedelta(seconds=30)
TICKET_PREFIX = "aht_"
MAX_LENGTH = 100
CREDENTIAL_HEADERS = ("authorization", "x-api-key", "x-organization-id")
_NONCE = 12


@dataclass(frozen=True, slots=True)
class Ticket:
    text: str
    expires_at: datetime


class TicketService:
    def __init__(self, tickets: SocketTickets) -> None:
        self._tickets = tickets

    async def issue(self, headers: Mapping[str, str]) -> Ticket:
        """Issue a ticket for the client that was authenticated by `headers` (lower-case names)."""
        text = TICKET_PREFIX + secrets.token_urlsafe(32)
        credentials = {name: headers[name] for name in CREDENTIAL_HEADERS if name in headers}
        expires_at = await self._tickets.create(_digest(text), _seal(text, credentials), LIFETIME)
        return Ticket(text, expires_at)

    async def redeem(self, ticket: str) -> Mapping[str, str]:
        """Return the headers that the ticket was issued for, and delete it. Raises Unauthenticated, Unavailable."""
        known = len(ticket) <= MAX_LENGTH and ticket.startswith(TICKET_PREFIX)
        sealed = await self._tickets.redeem(_digest(ticket)) if known else None
        if sealed is None:
            raise Unauthenticated("The ticket is not valid: unknown, used already, or expired.", code="ticket_invalid")
        return _unseal(ticket, sealed)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _key(text: str) -> bytes:
    return hmac.new(text.encode(), b"agenthall socket ticket 1", hashlib.sha256).digest()


def _seal(text: str, credentials: Mapping[str, str]) -> bytes:
    # imported here: it takes five megabytes, which most processes never need
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = secrets.token_bytes(_NONCE)
    return nonce + AESGCM(_key(text)).encrypt(nonce, orjson.dumps(credentials), None)


def _unseal(text: str, sealed: bytes) -> Mapping[str, str]:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    credentials: Mapping[str, str] = orjson.loads(AESGCM(_key(text)).decrypt(sealed[:_NONCE], sealed[_NONCE:], None))
    return credentials
