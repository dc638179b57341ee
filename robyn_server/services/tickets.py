"""Tickets: a browser cannot send headers with a WebSocket, and a key must not stand in an address. So an authenticated caller fetches
a ticket over HTTP and opens the socket with it.

A ticket is 256 random bits. The database finds it by its hash and keeps the caller's own credentials encrypted with it (AES-256-GCM,
key from the ticket by HMAC): whoever reads the table has neither. Whoever takes a ticket is verified as if he had shown the credentials
himself, then and for as long as his socket lives, so a ticket outlives neither its token nor its key.
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
from robyn_server.storage.socket_tickets import SocketTickets

LIFETIME = timedelta(seconds=30)
MARK = "aht_"
LONGEST = 100
KEPT = ("authorization", "x-api-key", "x-organization-id")
_NONCE = 12


@dataclass(frozen=True, slots=True)
class Ticket:
    text: str
    expires_at: datetime


class TicketService:
    def __init__(self, tickets: SocketTickets) -> None:
        self._tickets = tickets

    async def issue(self, headers: Mapping[str, str]) -> Ticket:
        """For the caller who has just been identified by `headers` (lower-case names)."""
        text = MARK + secrets.token_urlsafe(32)
        shown = {name: headers[name] for name in KEPT if name in headers}
        expires_at = await self._tickets.insert(_digest(text), _sealed(text, shown), LIFETIME)
        return Ticket(text, expires_at)

    async def take(self, ticket: str) -> Mapping[str, str]:
        """The credentials it was issued for; it is gone then. Raises Unauthenticated, Unavailable."""
        known = len(ticket) <= LONGEST and ticket.startswith(MARK)
        sealed = await self._tickets.take(_digest(ticket)) if known else None
        if sealed is None:
            raise Unauthenticated("The ticket is not valid: unknown, taken already, or expired.", code="ticket_invalid")
        return _opened(ticket, sealed)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _key(text: str) -> bytes:
    return hmac.new(text.encode(), b"agenthall socket ticket 1", hashlib.sha256).digest()


def _sealed(text: str, shown: Mapping[str, str]) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import (
        AESGCM,
    )  # here: five megabytes that most processes never need

    nonce = secrets.token_bytes(_NONCE)
    return nonce + AESGCM(_key(text)).encrypt(nonce, orjson.dumps(shown), None)


def _opened(text: str, sealed: bytes) -> Mapping[str, str]:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    shown: Mapping[str, str] = orjson.loads(AESGCM(_key(text)).decrypt(sealed[:_NONCE], sealed[_NONCE:], None))
    return shown
