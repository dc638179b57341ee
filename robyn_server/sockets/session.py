"""One socket from its first message to its end: who it is, what it holds, and the reader that answers it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import structlog
from websockets.exceptions import ConnectionClosed

from robyn_server.core.errors import AgenthallError, Invalid
from robyn_server.core.principal import Principal
from robyn_server.core.registry import InstanceEvent
from robyn_server.storage.json import dump_json

from . import answers, envelope, methods
from .admission import Admitted, Shown
from .codes import Close, Code, Fault, fault, stranger
from .connection import Socket
from .envelope import Batch, Dialect, Message, Type
from .expiry import EXPIRING, Expiry, renewed
from .hall import Hall
from .held import Held, meant
from .leaving import leave
from .limits import Bucket
from .params import Auth, OfRegistration, parse
from .watches import Followed

LARGE_FRAME = 4096
"""Bytes of a frame that count as one message."""

_log = structlog.get_logger(__name__)


class Session:
    __slots__ = (
        "_afterwards",
        "_bucket",
        "_busy",
        "_dialect",
        "_expiry",
        "_parting",
        "_tenant",
        "_watches_made",
        "admitted",
        "hall",
        "held",
        "postponed",
        "socket",
        "verified_at",
        "watches",
    )

    def __init__(self, socket: Socket, hall: Hall) -> None:
        self.socket = socket
        self.hall = hall
        self.admitted: Admitted | None = socket.admitted
        self.verified_at = socket.loop.time()
        self.held: dict[UUID, Held] = {}
        self.postponed: list[InstanceEvent] | None = None
        """Not None while it registers: the event of its own new epoch may come before the answer that tells it."""
        self.watches: dict[str, Followed] = {}
        self._tenant: UUID | None = None
        self._dialect = Dialect.ENVELOPE
        self._bucket = Bucket(self._burst, self.verified_at)
        self._busy = False
        self._parting: tuple[Close, str] | None = None
        self._afterwards: list[Callable[[], None]] = []
        self._watches_made = 0
        self._expiry: Expiry | None = None
        self._note_expiry()

    @property
    def _burst(self) -> float:
        return self.hall.limits.messages_per_second * self.hall.limits.burst_seconds

    @property
    def connection_id(self) -> str:
        return str(self.socket.id)

    @property
    def principal(self) -> Principal:
        """Raises Fault while nobody is known."""
        if self.admitted is None:
            raise Fault(
                Code.AUTHENTICATION,
                "This socket has shown no credentials: send them in the handshake, or `auth` in the first message.",
                reason="credentials_expected",
                close=Close.CREDENTIALS,
            )
        return self.admitted.principal

    def tenant(self, named: UUID | None) -> UUID:
        """The tenant that a message is about. Raises Forbidden, BadRequest."""
        return self.hall.rooms.tenant_of(self.principal, named or self._tenant)

    # the reader

    async def run(self) -> None:
        """Until the socket is closed. Never raises for what a client does."""
        try:
            if self._is_seated():
                await self._read()
        except ConnectionClosed:
            pass
        finally:
            self.hall.exit(self)
            await leave(self)
            if self.admitted is not None:
                self.hall.seats.leave(self.admitted.principal.identity)

    def _is_seated(self) -> bool:
        """Whether there is room for one socket more, in all and for its principal."""
        if self.admitted is not None and not self.hall.seats.take(self.admitted.principal.identity):
            self.admitted = None
            return self._full("too many sockets of this principal")
        if not self.hall.enter(self):
            return self._full("too many sockets")
        return True

    def _full(self, reason: str) -> bool:
        self.hall.counts.refused += 1
        self.socket.end(Close.TOO_MANY, reason)
        return False

    async def _read(self) -> None:
        until: float | None = self.socket.loop.time() + self.hall.limits.first_message_seconds
        while self.socket.closed_at is None:  # what comes after the message that closed it is not looked at
            try:
                async with asyncio.timeout_at(until):
                    frame = await self.socket.recv()
            except TimeoutError:
                self.socket.end(Close.CREDENTIALS, "credentials expected: none were shown in time")
                break
            await self._receive(frame)
            until = until if self.admitted is None else None
        await self.socket.wait_closed()

    async def _receive(self, frame: str | bytes) -> None:
        self._busy = True
        try:
            parsed = envelope.read(frame) if isinstance(frame, str) else answers.BINARY
            self._dialect = parsed.dialect
            answer, close = await self._answer(parsed, len(frame))
        finally:
            self._busy = False
        if answer is not None:
            self.socket.put(dump_json(answer))
        for start in self._afterwards:
            start()
        self._afterwards.clear()
        if close or self._parting:
            self.socket.end(*(close or self._parting))  # type: ignore[misc]
        await self.socket.taken()

    async def _answer(self, parsed: Message | Batch, size: int) -> tuple[Any, tuple[Close, str] | None]:
        """`size`: of the frame. A large one counts as several messages, for it takes as long to read."""
        messages = parsed.messages if isinstance(parsed, Batch) else [parsed]
        limits, now = self.hall.limits, self.socket.loop.time()
        if not self._bucket.take(max(len(messages), size // LARGE_FRAME), now, limits.messages_per_second, self._burst):
            refused = answers.too_fast(limits.messages_per_second, close=self._bucket.is_spent(self._burst))
            whole = parsed if isinstance(parsed, Message) else Message(Type.REQUEST, parsed.id, dialect=parsed.dialect)
            return answers.refusal(whole, refused)
        told, close = await self._answer_all(messages)
        if isinstance(parsed, Batch):
            return envelope.batch_response(parsed, told), close
        return (told[0] if told else None), close

    async def _answer_all(self, messages: list[Message]) -> tuple[list[dict[str, Any]], tuple[Close, str] | None]:
        """In their order. Heartbeats that follow each other go together: each waits for the same flush."""
        told: list[dict[str, Any]] = []
        for group in answers.grouped(messages):
            answered = [await self._answer_one(group[0])] if len(group) == 1 else await self._answer_together(group)
            for answer, close in answered:
                if answer is not None:
                    told.append(answer)
                if close is not None:
                    return told, close
        return told, None

    async def _answer_together(self, group: list[Message]) -> list[Any]:
        return list(await asyncio.gather(*map(self._answer_one, group)))

    async def _answer_one(self, message: Message) -> tuple[dict[str, Any] | None, tuple[Close, str] | None]:
        """An error stays in no variable of this frame, which it points to: the two would keep the whole session in memory."""
        try:
            if message.fault is not None:
                return answers.refusal(message, message.fault)
            return envelope.response(message, await self._result(message)), None
        except AgenthallError as error:
            return answers.refusal(message, fault(error))
        except TimeoutError:
            return answers.refusal(message, answers.took_too_long(self.hall.limits.request_seconds))
        except ConnectionClosed:
            raise
        except Exception:  # noqa: BLE001 - see below
            # One message must not end the process, nor the socket: its client is told that it was not his fault.
            _log.exception("a message failed", method=message.method[:64])
            return answers.refusal(message, stranger())

    async def _result(self, message: Message) -> Any:
        if message.type in {Type.PING, Type.PONG}:
            return None
        with methods.counted(message.method):
            async with asyncio.timeout(self.hall.limits.request_seconds):
                return await self._call(message)

    async def _call(self, message: Message) -> Any:
        params = dict(message.params)
        if message.method in methods.AUTH:
            await self.authenticate(parse(Auth, params))
            return self.who()
        if "auth" in params:
            given = params.pop("auth")
            if not isinstance(given, dict):
                raise Invalid("auth: must be an object", field="auth")
            await self.authenticate(parse(Auth, given, at="auth"))
        _ = self.principal
        return await methods.call(self, message.method, params)

    # who it is

    async def authenticate(self, auth: Auth) -> None:
        """Verify, and act as whom that is from now on. A socket never changes hands: later it may only show fresher credentials."""
        shown = Shown(auth.credential, auth.tenant_id or self._tenant or self.socket.organization)
        admitted = await self.hall.rooms.admission.verified(shown)
        if self.admitted is None:
            if not self.hall.seats.take(admitted.principal.identity):
                raise Fault(
                    Code.RATE_LIMITED,
                    "Too many sockets of this principal.",
                    reason="too_many_sockets",
                    close=Close.TOO_MANY,
                )
        elif self.admitted.principal.identity != admitted.principal.identity:
            raise Fault(
                Code.AUTHENTICATION,
                "This socket is somebody else's already; open another one.",
                reason="principal_differs",
                close=Close.CREDENTIALS,
            )
        self.renew(admitted)
        self._tenant = auth.tenant_id or self._tenant

    def renew(self, admitted: Admitted) -> None:
        """The same principal, perhaps with other rights. What is held in a tenant that it has left cannot be kept."""
        self.admitted = admitted
        self.verified_at = self.socket.loop.time()
        self._note_expiry()
        if any(not admitted.principal.is_member(each.tenant) for each in self.held.values()):
            self.part(Close.TENANT, "the credentials no longer belong to the tenant")

    def shows(self, shown: Shown) -> bool:
        return self.admitted is not None and self.admitted.shown is shown

    def _note_expiry(self) -> None:
        at = None if self.admitted is None else self.admitted.principal.expires_at
        self._expiry = renewed(self._expiry, at, datetime.now(UTC))

    @property
    def has_expired(self) -> bool:
        """By this process's clock; who verifies the credentials has the last word."""
        return self._expiry is not None and self._expiry.is_over(datetime.now(UTC))

    def tell_expiry(self) -> None:
        """Once, some time before the credentials end."""
        if self._expiry is not None and self._expiry.must_tell(now := datetime.now(UTC)):
            self.notify(EXPIRING, self._expiry.notice(now))

    def who(self) -> dict[str, Any]:
        return {
            "connection_id": self.connection_id,
            "identity": self.principal.identity,
            "tenant_id": self._tenant or self.principal.acting_for,
            "expires_at": self.principal.expires_at,
        }

    # what it holds

    def hold(self, held: Held) -> None:
        self.held[held.registration_id] = held
        self.hall.hold(held.registration_id, self)

    @contextlib.contextmanager
    def registering(self) -> Iterator[None]:
        self.postponed = []
        try:
            yield
        finally:
            events, self.postponed = self.postponed, None
            for event in events:
                self.hall.changed(event)

    def release(self, registration_id: UUID) -> None:
        if self.held.pop(registration_id, None) is not None:
            self.hall.release(registration_id, self)

    def which(self, given: OfRegistration) -> Held:
        """The registration that a message is about. Raises BadRequest when it must be named, NotFound when there is none."""
        return meant(self.held, given, self.tenant)

    @property
    def starting(self) -> int:
        """What begins once the answer is written, watches among it."""
        return len(self._afterwards)

    @property
    def is_idle(self) -> bool:
        return not self.held and not self.watches

    # what it is told

    def notify(self, method: str, params: dict[str, Any]) -> None:
        self.socket.put(dump_json(envelope.notification(self._dialect, method, params)))

    def new_watch_id(self) -> str:
        self._watches_made += 1
        return f"watch-{self._watches_made}"

    def afterwards(self, start: Callable[[], None]) -> None:
        """Once the answer is written."""
        self._afterwards.append(start)

    def part(self, code: Close, reason: str) -> None:
        """Close; a message that is being answered is answered first."""
        if self._busy:
            self._parting = self._parting or (code, reason)
        else:
            self.socket.end(code, reason)
