"""Reads the messages of one socket and answers them in their order."""

from __future__ import annotations

import asyncio
from typing import Any, TypeGuard

import structlog
from websockets.exceptions import ConnectionClosed

from robyn_server.core.errors import AgenthallError, Invalid
from robyn_server.sockets.protocol.envelope import Batch, Message, Type
from robyn_server.sockets.protocol.errors import CloseCode, ErrorCode, ProtocolError, internal_error, to_protocol_error
from robyn_server.sockets.protocol.params import AuthParams, parse
from robyn_server.storage.postgres.json import dump_json

from . import replies
from .authentication import PresentedCredentials
from .cleanup import release_session, withdraw_foreign
from .job_messages import JobMessages
from .limits import JOB_MESSAGE_RATE, MAX_UNANSWERED, TokenBucket
from .methods import table
from .protocol import envelope
from .replies import Closing
from .sessions.hub import SessionHub
from .sessions.session import Session

LARGE_FRAME = 4096
"""Bytes of a frame that count as one message."""

_log = structlog.get_logger(__name__)


class SessionReader:
    __slots__ = ("_bucket", "_hub", "_job_bucket", "_jobs", "_session", "_socket")

    def __init__(self, hub: SessionHub, session: Session) -> None:
        self._hub = hub
        self._session = session
        self._socket = session.socket
        self._bucket = TokenBucket(self._burst, session.verified_at)
        self._job_bucket: TokenBucket | None = None
        self._jobs: JobMessages | None = None

    @property
    def _burst(self) -> float:
        return self._hub.limits.messages_per_second * self._hub.limits.burst_seconds

    async def run(self) -> None:
        """Answer messages until the socket is closed. Raises nothing for what a client does."""
        try:
            if self._is_admitted():
                await self._read()
        except ConnectionClosed:
            pass
        finally:
            self._hub.remove(self._session)
            if self._jobs is not None:
                await self._jobs.wait(self._hub.limits.request_seconds)
            await release_session(self._hub, self._session)
            if self._session.authenticated is not None:
                self._hub.quota.release(self._session.authenticated.principal.identity)

    def _is_admitted(self) -> bool:
        """Whether the limits of the process and of the principal allow one socket more; else the socket is closed."""
        authenticated = self._session.authenticated
        if authenticated is not None and not self._hub.quota.acquire(authenticated.principal.identity):
            self._session.authenticated = None
            return self._refuse("too many sockets of this principal")
        if not self._hub.add(self._session):
            return self._refuse("too many sockets")
        return True

    def _refuse(self, reason: str) -> bool:
        self._hub.counts.refused += 1
        self._socket.begin_close(CloseCode.TOO_MANY, reason)
        return False

    async def _read(self) -> None:
        until: float | None = self._socket.loop.time() + self._hub.limits.first_message_seconds
        while self._socket.closed_at is None:  # messages after the one that closed the socket are ignored
            try:
                async with asyncio.timeout_at(until):
                    frame = await self._socket.recv()
            except TimeoutError:
                self._socket.begin_close(CloseCode.CREDENTIALS, "credentials expected: none were shown in time")
                break
            await self._receive(frame)
            until = until if self._session.authenticated is None else None
        await self._socket.wait_closed()

    async def _receive(self, frame: str | bytes) -> None:
        session = self._session
        if session.is_closing:
            return
        parsed = envelope.read(frame) if isinstance(frame, str) else replies.BINARY_FRAME
        if self._is_job_message(parsed):
            await self._receive_job_message(parsed, len(frame))
            return
        session.is_replying = True
        try:
            session.dialect = parsed.dialect
            reply, close = await self._reply(parsed, len(frame))
        finally:
            session.is_replying = False
        if reply is not None:
            self._socket.write(dump_json(reply))
        session.finish_reply(close)
        await self._socket.wait_writable()

    def _is_job_message(self, parsed: Message | Batch) -> TypeGuard[Message]:
        """Whether it is answered beside others: a message about a job, on a socket that takes jobs."""
        return (
            isinstance(parsed, Message)
            and parsed.error is None
            and parsed.method in table.JOB_METHODS
            and self._session.slots > 0
            and "auth" not in parsed.params
        )

    async def _receive_job_message(self, message: Message, size: int) -> None:
        self._session.dialect = message.dialect
        self._jobs = self._jobs or JobMessages()
        error = self._refusal_of_job_message(self._jobs, size)
        if error is None:
            self._session.begin_job_message()
            self._jobs.start(message, self._answer_job_message)
        else:
            self._write_job_reply(*replies.error_reply(message, error))
        await self._socket.wait_writable()

    def _refusal_of_job_message(self, pending: JobMessages, size: int) -> ProtocolError | None:
        """The error for a message above the rate of the socket's slots, or while too many are not answered."""
        slots, now = self._session.slots, self._socket.loop.time()
        rate = self._hub.limits.messages_per_second * JOB_MESSAGE_RATE * slots
        burst = rate * self._hub.limits.burst_seconds
        self._job_bucket = self._job_bucket or TokenBucket(burst, now)
        if not self._job_bucket.take(max(1, size // LARGE_FRAME), now, rate, burst):
            return replies.rate_limited(rate, close=self._job_bucket.is_exhausted(burst))
        if len(pending) >= max(MAX_UNANSWERED, 2 * slots):
            return replies.too_many_unanswered(len(pending))
        return None

    async def _answer_job_message(self, message: Message) -> None:
        try:
            self._write_job_reply(*await self._reply_to(message))
            await self._socket.wait_writable()
        except (ConnectionClosed, OSError):
            pass  # the answer is lost; the client asks again
        finally:
            self._session.finish_job_message()

    def _write_job_reply(self, reply: Any, close: Closing) -> None:
        if reply is not None:
            self._socket.write(dump_json(reply))
        if close is not None:
            self._session.close_after_reply(*close)

    async def _reply(self, parsed: Message | Batch, size: int) -> tuple[Any, Closing]:
        """`size`: bytes of the frame. A large frame counts as several messages, because it takes as long to read."""
        messages = parsed.messages if isinstance(parsed, Batch) else [parsed]
        limits, now = self._hub.limits, self._socket.loop.time()
        if size > limits.message_bytes:  # such a socket takes larger messages, if they are about jobs
            return replies.refusal(parsed, replies.too_large(limits.message_bytes))
        count = max(len(messages), size // LARGE_FRAME)
        if not self._bucket.take(count, now, limits.messages_per_second, self._burst):
            error = replies.rate_limited(limits.messages_per_second, close=self._bucket.is_exhausted(self._burst))
            return replies.refusal(parsed, error)
        answers, close = await self._reply_to_all(messages)
        if isinstance(parsed, Batch):
            return envelope.batch_response(parsed, answers), close
        return (answers[0] if answers else None), close

    async def _reply_to_all(self, messages: list[Message]) -> tuple[list[dict[str, Any]], Closing]:
        """Answer in order. Consecutive heartbeats are answered together: they wait for the same flush."""
        answers: list[dict[str, Any]] = []
        for group in replies.group_heartbeats(messages):
            if len(group) == 1:
                answered = [await self._reply_to(group[0])]
            else:
                answered = list(await asyncio.gather(*map(self._reply_to, group)))
            for answer, close in answered:
                if answer is not None:
                    answers.append(answer)
                if close is not None:
                    return answers, close
        return answers, None

    async def _reply_to(self, message: Message) -> tuple[dict[str, Any] | None, Closing]:
        # No variable of this frame keeps an error: it points to the frame, and the cycle would keep the session in
        # memory.
        try:
            if message.error is not None:
                return replies.error_reply(message, message.error)
            return envelope.response(message, await self._result(message)), None
        except AgenthallError as error:
            return replies.error_reply(message, to_protocol_error(error))
        except TimeoutError:
            return replies.error_reply(message, replies.timed_out(self._hub.limits.request_seconds))
        except ConnectionClosed:
            raise
        except Exception:  # noqa: BLE001 - one message ends neither the process nor the socket
            _log.exception("a message failed", method=message.method[:64])
            return replies.error_reply(message, internal_error())

    async def _result(self, message: Message) -> Any:
        if message.type in {Type.PING, Type.PONG}:
            return None
        with table.count_failures_of(message.method):
            async with asyncio.timeout(self._hub.limits.request_seconds):
                return await self._call(message)

    async def _call(self, message: Message) -> Any:
        params = dict(message.params)
        if message.method in table.AUTH:
            await self._authenticate(parse(AuthParams, params))
            return self._session.whoami()
        if "auth" in params:
            given = params.pop("auth")
            if not isinstance(given, dict):
                raise Invalid("auth: must be an object", field="auth")
            await self._authenticate(parse(AuthParams, given, at="auth"))
        _ = self._session.principal
        return await table.call(self._hub, self._session, message.method, params)

    async def _authenticate(self, auth: AuthParams) -> None:
        """Verify credentials and act with them from now on. A socket never changes its principal."""
        session = self._session
        organization_id = auth.tenant_id or session.organization_id or self._socket.organization_id
        credentials = PresentedCredentials(auth.credential, organization_id)
        authenticated = await self._hub.dependencies.authenticator.authenticate(credentials)
        if session.authenticated is None:
            self._take_slot(authenticated.principal.identity)
        elif session.authenticated.principal.identity != authenticated.principal.identity:
            raise ProtocolError(
                ErrorCode.AUTHENTICATION,
                "This connection is authenticated as a different principal. Open a new connection.",
                reason="principal_differs",
                close=CloseCode.CREDENTIALS,
            )
        if not session.renew(authenticated):
            await withdraw_foreign(self._hub, session)
        session.organization_id = auth.tenant_id or session.organization_id

    def _take_slot(self, identity: str) -> None:
        if not self._hub.quota.acquire(identity):
            raise ProtocolError(
                ErrorCode.RATE_LIMITED,
                "Too many sockets of this principal.",
                reason="too_many_sockets",
                close=CloseCode.TOO_MANY,
            )
