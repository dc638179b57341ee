"""The state of one socket: its principal, its registrations, its watches, and how its client is notified."""

from __future__ import annotations

from asyncio import Task
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from robyn_server.core.access.principal import Principal
from robyn_server.core.registry.instances import InstanceEvent
from robyn_server.sockets.authentication import AuthenticatedSocket, PresentedCredentials
from robyn_server.sockets.connection import Socket
from robyn_server.sockets.limits import JOB_MESSAGE_BYTES
from robyn_server.sockets.protocol import envelope
from robyn_server.sockets.protocol.envelope import Dialect
from robyn_server.sockets.protocol.errors import CloseCode, ErrorCode, ProtocolError
from robyn_server.storage.postgres.json import dump_json

from .expiry import EXPIRING, CredentialExpiry, track_expiry
from .registrations import HeldRegistration


@dataclass(frozen=True, slots=True)
class ActiveWatch:
    organization_id: UUID
    task: Task[None]


class Session:
    __slots__ = (
        "_closing",
        "_deferred",
        "_expiry",
        "_held_back",
        "_message_bytes",
        "_unanswered",
        "_watches_made",
        "authenticated",
        "dialect",
        "is_replying",
        "organization_id",
        "postponed",
        "registered_now",
        "registrations",
        "slots",
        "socket",
        "verified_at",
        "watches",
    )

    def __init__(self, socket: Socket) -> None:
        self.socket = socket
        self.authenticated: AuthenticatedSocket | None = socket.authenticated
        self.verified_at = socket.loop.time()
        self.organization_id: UUID | None = None
        """The organization named with the credentials; a message may name another."""
        self.registrations: dict[UUID, HeldRegistration] = {}
        self.postponed: list[InstanceEvent] | None = None
        """Events that wait while the session registers; else None."""
        self.registered_now: set[UUID] = set()
        """Registrations that the message makes which is being answered. Nothing is sent about them before the reply."""
        self.slots = 0
        """Jobs that its registrations take at a time."""
        self.watches: dict[str, ActiveWatch] = {}
        self.dialect = Dialect.ENVELOPE
        """That of the last message; notifications are sent in it."""
        self.is_replying = False
        self._closing: tuple[CloseCode, str] | None = None
        self._unanswered = 0
        """Messages about jobs that are being answered."""
        self._deferred: list[Callable[[], None]] = []
        self._held_back: list[bytes] = []
        self._message_bytes = socket.protocol.max_message_size
        self._watches_made = 0
        self._expiry: CredentialExpiry | None = None
        self._track_expiry()

    @property
    def connection_id(self) -> str:
        return str(self.socket.id)

    @property
    def principal(self) -> Principal:
        """Raises ProtocolError (credentials_expected) before the client has authenticated."""
        if self.authenticated is None:
            raise ProtocolError(
                ErrorCode.AUTHENTICATION,
                "This socket has shown no credentials: send them in the handshake, or `auth` in the first message.",
                reason="credentials_expected",
                close=CloseCode.CREDENTIALS,
            )
        return self.authenticated.principal

    @property
    def is_idle(self) -> bool:
        return not self.registrations and not self.watches

    # credentials

    def renew(self, authenticated: AuthenticatedSocket) -> bool:
        """Take over newly verified credentials of the same principal.

        Return False if they no longer cover a registration: then the caller withdraws the session.
        """
        self.authenticated = authenticated
        self.verified_at = self.socket.loop.time()
        self._track_expiry()
        return all(authenticated.principal.is_member(each.organization_id) for each in self.registrations.values())

    def uses_credentials(self, credentials: PresentedCredentials) -> bool:
        return self.authenticated is not None and self.authenticated.credentials is credentials

    def _track_expiry(self) -> None:
        at = None if self.authenticated is None else self.authenticated.principal.expires_at
        self._expiry = track_expiry(self._expiry, at, datetime.now(UTC))

    @property
    def has_expired(self) -> bool:
        """By this process's clock; the verifier of the credentials decides."""
        return self._expiry is not None and self._expiry.is_over(datetime.now(UTC))

    def notify_expiry(self) -> None:
        """Notify the client once, some time before its credentials expire."""
        if self._expiry is not None and self._expiry.should_notify(now := datetime.now(UTC)):
            self.notify(EXPIRING, self._expiry.notice(now))

    def whoami(self) -> dict[str, Any]:
        return {
            "connection_id": self.connection_id,
            "identity": self.principal.identity,
            "tenant_id": self.organization_id or self.principal.acting_for,
            "expires_at": self.principal.expires_at,
        }

    def change_slots(self, by: int) -> None:
        """Add slots of a registration. With any, messages about jobs may be larger than others."""
        self.slots += by
        self.socket.protocol.max_message_size = JOB_MESSAGE_BYTES if self.slots else self._message_bytes

    # sending

    def notify(self, method: str, params: dict[str, Any]) -> None:
        self.socket.write(self.render(method, params))

    def render(self, method: str, params: dict[str, Any]) -> bytes:
        """A notification as text."""
        return dump_json(envelope.notification(self.dialect, method, params))

    def send_about(self, registration_id: UUID, text: bytes) -> None:
        """Send a notification about a registration, after the reply that tells the client of it."""
        if registration_id in self.registered_now:
            self._held_back.append(text)
        else:
            self.socket.write(text)

    def new_watch_id(self) -> str:
        self._watches_made += 1
        return f"watch-{self._watches_made}"

    def run_after_reply(self, start: Callable[[], None]) -> None:
        """Call `start` once the reply to the current message is written."""
        self._deferred.append(start)

    @property
    def deferred_count(self) -> int:
        """Calls that wait for the current reply; new watches are among them."""
        return len(self._deferred)

    @property
    def is_closing(self) -> bool:
        """It is closed, or will be once what has begun is answered. Further messages are ignored."""
        return self._closing is not None or self.socket.closed_at is not None

    def close_after_reply(self, code: CloseCode, reason: str) -> None:
        """Close now, or, while messages are being answered, after their replies. The first reason given is kept."""
        self._closing = self._closing or (code, reason)
        self._close_if_answered()

    def begin_job_message(self) -> None:
        self._unanswered += 1

    def finish_job_message(self) -> None:
        self._unanswered -= 1
        self._close_if_answered()

    def _close_if_answered(self) -> None:
        if self._closing is not None and not self.is_replying and not self._unanswered:
            self.socket.begin_close(*self._closing)

    def finish_reply(self, close: tuple[CloseCode, str] | None) -> None:
        """Run what waited for the reply. Close with `close`, or as `close_after_reply` asked."""
        for start in self._deferred:
            start()
        self._deferred.clear()
        for text in self._held_back:
            self.socket.write(text)
        self._held_back.clear()
        self.registered_now.clear()
        if close is not None:
            self._closing = close
        self._close_if_answered()
