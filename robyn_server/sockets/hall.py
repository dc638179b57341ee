"""Everything that the sockets of this process share: who is here, who holds which registration, and the rounds of the watchman.

The rounds come four times in `ask_seconds`: each looks at a part of the sockets, so that every socket is looked at often enough and no
look takes long.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

import structlog

from robyn_server.core.errors import Forbidden, Unauthenticated, Unavailable
from robyn_server.core.registry import EventKind, InstanceEvent, InstanceFilter
from robyn_server.metrics.definitions import SLOW_CONSUMERS
from robyn_server.registry.protocols import InstanceWatch

from . import fates, ports
from .admission import Admission, Shown
from .codes import Close, fault
from .limits import Limits, Seats
from .resume import ResumeTokens

if TYPE_CHECKING:
    from .session import Session

PARTS = 5
ROUND_SECONDS = 0.5
"""So every socket is looked at each 2.5 s."""

PAUSE_SECONDS = 1.5
"""Rounds further apart than this were held up by us."""

CLOSED_AT_ONCE = 1000
"""Sockets per second that are sent away at a restart: as fast as they can come back elsewhere."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Counts:
    """`slow`: sockets that were cut because they took nothing; `silent`: because nothing came from them, though they took everything."""

    slow: int = 0
    silent: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Rooms:
    """What the methods work with. `keeper_id`: under which process's care the leases of these sockets are."""

    instances: ports.Instances
    watch: InstanceWatch
    tenant_of: ports.TenantOf
    admission: Admission
    tokens: ResumeTokens
    keeper_id: UUID


@dataclass(slots=True)
class Hall:
    rooms: Rooms
    limits: Limits
    counts: Counts = field(default_factory=Counts)
    seats: Seats = field(init=False)
    leaving: bool = False
    _parts: list[set[Session]] = field(default_factory=lambda: [set() for _ in range(PARTS)])
    _holders: dict[UUID, Session] = field(default_factory=dict)
    _next: int = 0
    looked_at: float | None = None

    def __post_init__(self) -> None:
        self.seats = Seats(self.limits.sockets_per_principal)

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __iter__(self) -> Iterator[Session]:
        return iter([session for part in self._parts for session in part])

    def enter(self, session: Session) -> bool:
        """Whether there is room."""
        if len(self) >= self.limits.sockets:
            return False
        min(self._parts, key=len).add(session)
        return True

    def exit(self, session: Session) -> None:
        for part in self._parts:
            part.discard(session)

    def hold(self, registration_id: UUID, session: Session) -> None:
        """`session` has it now. An older holder in this process is told so."""
        before = self._holders.get(registration_id)
        newer = None if before is None or before is session else before.held.get(registration_id)
        if newer is not None and newer.epoch > session.held[registration_id].epoch:
            # the answer of this life was overtaken by that of the next: it is told once it has its answer
            session.afterwards(lambda: fates.superseded(session, registration_id))
            return
        self._holders[registration_id] = session
        if before is not None and before is not session:
            fates.superseded(before, registration_id)

    def release(self, registration_id: UUID, session: Session) -> None:
        if self._holders.get(registration_id) is session:
            del self._holders[registration_id]

    def changed(self, event: InstanceEvent) -> None:
        """An event of any tenant: does it concern a registration that is held here?"""
        session = self._holders.get(event.registration_id)
        held = None if session is None else session.held.get(event.registration_id)
        if session is None or held is None:
            return
        if session.postponed is not None:
            session.postponed.append(event)
            return
        epoch = int(event.instance.get("epoch") or 0)
        if epoch > held.epoch:
            fates.superseded(session, event.registration_id)
        elif epoch == held.epoch and event.kind is EventKind.STALE:
            fates.lapsed(session, event.registration_id)
        elif epoch == held.epoch and event.kind is EventKind.DRAINING:
            fates.draining(session, event.registration_id, event.instance.get("status_reason"))
        elif epoch == held.epoch and event.kind in _ENDS:
            fates.lost(session, event.registration_id, event.kind)

    async def follow(self) -> None:
        """Until cancelled, or the feed breaks: events of all tenants."""
        async with self.rooms.watch.subscribe(None, InstanceFilter()) as subscription:
            async for events in subscription:
                for event in events:
                    self.changed(event)

    async def look(self) -> None:
        """One round."""
        now = asyncio.get_running_loop().time()
        if self.looked_at is not None and now - self.looked_at > PAUSE_SECONDS:
            self._forgive(now)
        self.looked_at = now
        self._next = (self._next + 1) % PARTS
        for session in list(self._parts[self._next]):
            self._look_at(session, now)

    def _forgive(self, now: float) -> None:
        """It was this process that stood still: what they have said meanwhile is not read yet."""
        for session in self:
            session.socket.heard = max(session.socket.heard, now - self.limits.ask_seconds)

    def _look_at(self, session: Session, now: float) -> None:
        socket, limits = session.socket, self.limits
        if socket.closed_at is not None:
            if now - socket.closed_at > limits.leave_seconds:
                socket.abort()
        elif socket.is_overfull or (socket.stuck_since is not None and now - socket.stuck_since > limits.stuck_seconds):
            self._count_slow()
            socket.end(Close.TOO_MANY, "slow reader: what was sent to this socket is not read")
        elif now - socket.heard > limits.silent_seconds:
            self._count_silent(stuck=socket.stuck_since is not None)
            socket.abort()
        else:
            session.tell_expiry()
            if now - socket.heard > limits.ask_seconds:
                socket.ask_for_life()

    def _count_slow(self) -> None:
        self.counts.slow += 1
        SLOW_CONSUMERS.inc("socket")

    def _count_silent(self, *, stuck: bool) -> None:
        """Who takes nothing that is written does not get to the ping either: it is silent because it is slow."""
        if stuck:
            self._count_slow()
        else:
            self.counts.silent += 1

    async def verify(self) -> None:
        """Those whose credentials have expired, or were looked at long ago, one after the other. Who cannot be asked about now stays."""
        now = asyncio.get_running_loop().time()
        for session in self:
            is_due = session.has_expired or now - session.verified_at >= self.limits.recheck_seconds
            if session.admitted is None or not is_due:
                continue
            session.verified_at = now
            await self._verify(session, session.admitted.shown)

    async def _verify(self, session: Session, shown: Shown) -> None:
        """It may show fresher ones meanwhile: then nothing follows from these."""
        try:
            admitted = await self.rooms.admission.verified(shown)
        except (Unauthenticated, Forbidden) as error:
            if session.shows(shown):
                session.part(fault(error).close or Close.TENANT, error.detail)
        except Unavailable as error:
            _log.warning("credentials cannot be verified now", reason=error.detail)
        else:
            if session.shows(shown):
                session.renew(admitted)

    async def drain(self, seconds: float) -> None:
        """Tell everybody, and close with jitter, within `seconds`. Leases stay: whoever comes back finds his registration."""
        self.leaving = True
        window = min(seconds / 2, len(self) / CLOSED_AT_ONCE)
        loop = asyncio.get_running_loop()
        for session in self:
            wait = random.uniform(0, window)  # noqa: S311 - not a secret
            session.notify("server.restarting", {"reconnect_after_seconds": round(wait + _back_after(), 3)})
            loop.call_later(wait, session.part, Close.RESTART, "the server restarts; reconnect with jitter")
        until = loop.time() + seconds
        while len(self) and loop.time() < until:
            await self.look()
            await asyncio.sleep(0.05)
        for session in self:
            session.socket.abort()

    def holding(self) -> Mapping[str, Any]:
        """For readiness and metrics."""
        return {"sockets": len(self), "registrations": len(self._holders)}


def _back_after() -> float:
    return random.uniform(0.1, 1.0)  # noqa: S311 - not a secret


_ENDS = frozenset({EventKind.DEREGISTERED, EventKind.INACTIVE, EventKind.DELETED})
