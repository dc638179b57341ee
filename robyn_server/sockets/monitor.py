"""Periodic checks of open sessions: whether the peer is alive and reads, and whether its credentials still hold."""

from __future__ import annotations

import asyncio
import random

import structlog

from robyn_server.core.errors import Forbidden, Unauthenticated, Unavailable
from robyn_server.metrics.definitions import SLOW_CONSUMERS
from robyn_server.sockets.protocol.errors import CloseCode, to_protocol_error

from .authentication import PresentedCredentials
from .cleanup import withdraw_foreign, withdraw_session
from .sessions.hub import SessionHub
from .sessions.session import Session

CHECK_SECONDS = 0.5
"""One shard is checked at a time, so each session is checked every 2.5 s."""

STALL_SECONDS = 1.5
"""Checks further apart than this were delayed by this process."""

CLOSED_PER_SECOND = 1000
"""Sockets closed per second at a restart: as fast as clients can reconnect elsewhere."""

_log = structlog.get_logger(__name__)


class LivenessMonitor:
    """`check` and `verify_credentials` are called periodically, `drain` at a stop."""

    def __init__(self, hub: SessionHub) -> None:
        self._hub = hub
        self._checked_at: float | None = None

    async def check(self) -> None:
        """Check one shard: close sessions whose client reads or sends nothing, and ping those that have been quiet."""
        now = asyncio.get_running_loop().time()
        if self._checked_at is not None and now - self._checked_at > STALL_SECONDS:
            self._extend_after_stall(now)
        self._checked_at = now
        for session in self._hub.next_shard():
            self._check_session(session, now)

    def _extend_after_stall(self, now: float) -> None:
        """After a stall of this process, count silence from the last ping: messages that came meanwhile are not read
        yet."""
        for session in self._hub:
            socket = session.socket
            socket.last_received_at = max(socket.last_received_at, now - self._hub.limits.ping_after_seconds)

    def _check_session(self, session: Session, now: float) -> None:
        socket, limits = session.socket, self._hub.limits
        is_blocked = socket.blocked_since is not None and now - socket.blocked_since > limits.blocked_seconds
        if socket.closed_at is not None:
            if now - socket.closed_at > limits.close_seconds:
                socket.abort()
        elif socket.is_overflowing or is_blocked:
            self._count_slow()
            socket.begin_close(CloseCode.TOO_MANY, "slow reader: what was sent to this socket is not read")
        elif now - socket.last_received_at > limits.silent_seconds:
            self._count_silent(is_blocked=socket.blocked_since is not None)
            socket.abort()
        else:
            session.notify_expiry()
            if now - socket.last_received_at > limits.ping_after_seconds:
                socket.send_ping()

    def _count_slow(self) -> None:
        self._hub.counts.slow += 1
        SLOW_CONSUMERS.inc("socket")

    def _count_silent(self, *, is_blocked: bool) -> None:
        """A client that reads nothing does not reach the ping, so it counts as slow."""
        if is_blocked:
            self._count_slow()
        else:
            self._hub.counts.silent += 1

    async def verify_credentials(self) -> None:
        """Verify expired credentials, and those last verified `recheck_seconds` ago, one session after the other."""
        now = asyncio.get_running_loop().time()
        for session in self._hub:
            is_due = session.has_expired or now - session.verified_at >= self._hub.limits.recheck_seconds
            if session.authenticated is None or not is_due:
                continue
            session.verified_at = now
            await self._verify(session, session.authenticated.credentials)

    async def _verify(self, session: Session, credentials: PresentedCredentials) -> None:
        """The client may present other credentials meanwhile; then this result is ignored."""
        try:
            authenticated = await self._hub.dependencies.authenticator.authenticate(credentials)
        except (Unauthenticated, Forbidden) as error:
            if session.uses_credentials(credentials):
                await self._close_refused(session, to_protocol_error(error).close or CloseCode.TENANT, error.detail)
        except Unavailable as error:
            # the session stays: only the verifier's answer ends it
            _log.warning("credentials cannot be verified now", reason=error.detail)
        else:
            if session.uses_credentials(credentials) and not session.renew(authenticated):
                await withdraw_foreign(self._hub, session)

    async def _close_refused(self, session: Session, close: CloseCode, reason: str) -> None:
        """Close a session whose credentials are refused now. Those that expired may be followed by fresh ones."""
        if session.has_expired:
            session.close_after_reply(close, reason)
        else:
            await withdraw_session(self._hub, session, close, reason)

    async def drain(self, seconds: float) -> None:
        """Notify all clients, and close all sockets with jitter within `seconds`.

        Leases stay, so clients can resume elsewhere.
        """
        self._hub.is_draining = True
        window = min(seconds / 2, len(self._hub) / CLOSED_PER_SECOND)
        loop = asyncio.get_running_loop()
        for session in self._hub:
            wait = random.uniform(0, window)  # noqa: S311 - not a secret
            reconnect = random.uniform(0.1, 1.0)  # noqa: S311 - not a secret
            session.notify("server.restarting", {"reconnect_after_seconds": round(wait + reconnect, 3)})
            reason = "the server restarts; reconnect with jitter"
            loop.call_later(wait, session.close_after_reply, CloseCode.RESTART, reason)
        until = loop.time() + seconds
        while len(self._hub) and loop.time() < until:
            await self.check()
            await asyncio.sleep(0.05)
        for session in self._hub:
            session.socket.abort()
