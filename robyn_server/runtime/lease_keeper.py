"""Takes the heartbeats of instances, and vouches for itself.

Rules
  1. A heartbeat that was answered `ok` is committed.
  2. Heartbeats are gathered and written by one statement in the order of the primary key; one is in flight. What comes meanwhile is
     gathered for the next.
  3. What one caller says never spoils another's heartbeat: whatever the database could refuse as a whole is refused before.
  4. Once a second the keeper writes its own row, on a pool that nobody else uses, and only while heartbeats can be written. When it
     could not, or the process stood still, the next time tells the database of an outage: then nobody is evicted for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import structlog

from robyn_server.core.errors import AgenthallError, Unavailable
from robyn_server.core.ids import new_id
from robyn_server.core.registry import Beat, BeatAnswer, Outcome
from robyn_server.metrics.definitions import HEARTBEAT_ROWS, HEARTBEAT_SECONDS
from robyn_server.storage.leases import INVALID, Beaten, KeeperState, Leases

from .background import Periodic
from .beat_rules import ensure_sayable, refusal_of

GATHER_SECONDS = 0.025
MOST_IN_A_FLUSH = 2000
REFUSALS = 36
"""Enough to find three bad rows among MOST_IN_A_FLUSH: each takes eleven halvings."""

OWN_BEAT_SECONDS = 1.0
_STUCK_SECONDS = 1.5
"""A flush that takes longer: heartbeats cannot be written now."""

_QUIET_SECONDS = 5.0
"""After a flush that failed it takes so long without another before the keeper vouches again."""

_STOP_SECONDS = 3.0

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Gathered:
    """What is to be written for one life of a registration, and who waits for it."""

    beat: Beat
    callers: list[asyncio.Future[BeatAnswer]] = field(default_factory=list)


class LeaseKeeper:
    """`leases` works on a pool of its own, of two connections. `kind`: web, sockets, sweep. `keeper_id`: that of a predecessor whose place
    this one takes; the time between them is then an outage like any other."""

    def __init__(
        self, leases: Leases, kind: str, keeper_id: UUID | None = None, *, gather_seconds: float = GATHER_SECONDS
    ) -> None:
        self.id = keeper_id or new_id()
        self._leases = leases
        self._kind = kind
        self._gather_seconds = gather_seconds
        self._gathered: dict[tuple[UUID, UUID, int], _Gathered] = {}
        self._some = asyncio.Event()
        self._full = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_open = False
        self._flushing_since: float | None = None
        self._failed_at: float | None = None
        self._outage_ended: Any = None
        self._own = Periodic(f"{kind} lease keeper", self.vouch, OWN_BEAT_SECONDS, retry=0.5, longest=OWN_BEAT_SECONDS)

    def start(self) -> None:
        self._is_open = True
        self._task = asyncio.create_task(self._loop(), name=f"{self._kind} heartbeats")
        self._own.start()

    async def stop(self) -> None:
        """Writes what it has, if that is possible, and says that it stops: its silence is no outage."""
        self._is_open = False
        self._some.set()
        self._full.set()
        if self._task is not None:
            with contextlib.suppress(TimeoutError, asyncio.CancelledError):
                async with asyncio.timeout(_STOP_SECONDS):
                    await self._task
        _fail(list(self._gathered.values()), Unavailable("The server stops; try again"))
        self._gathered.clear()
        await self._own.stop()
        with contextlib.suppress(Unavailable):
            await self._leases.stop_keeper(self.id)

    async def beat(self, beat: Beat) -> BeatAnswer:
        """Raises Invalid naming the field, Unavailable: the client goes on beating."""
        if not self._is_open:
            raise Unavailable("This process does not take heartbeats now; try again")
        ensure_sayable(beat)
        began = time.perf_counter()
        answer = await self._gather(beat)
        HEARTBEAT_SECONDS.observe(time.perf_counter() - began)
        return answer

    async def vouch(self) -> KeeperState | None:
        """The keeper's own heartbeat; None when it must not give one. Raises Unavailable."""
        if not self._can_write:
            return None
        state = await self._leases.beat_keeper(self.id, self._kind)
        if state.outage_ended is not None and state.outage_ended != self._outage_ended:
            self._outage_ended = state.outage_ended
            seconds = (state.outage_ended - state.outage_began).total_seconds() if state.outage_began else 0
            _log.warning("heartbeats could not be taken for a while", kind=self._kind, seconds=round(seconds, 1))
        return state

    @property
    def _can_write(self) -> bool:
        now = time.monotonic()
        if self._flushing_since is not None:
            return now - self._flushing_since < _STUCK_SECONDS and self._failed_at is None
        return self._failed_at is None or now - self._failed_at > _QUIET_SECONDS

    def _gather(self, beat: Beat) -> asyncio.Future[BeatAnswer]:
        """Of the same life, the newer word counts; what it leaves out, the older one said."""
        key = (beat.registration_id, beat.tenant_id, beat.epoch)
        gathered = self._gathered.get(key)
        if gathered is None:
            gathered = self._gathered[key] = _Gathered(beat)
        else:
            gathered.beat = _merged(gathered.beat, beat)
        caller: asyncio.Future[BeatAnswer] = asyncio.get_running_loop().create_future()
        gathered.callers.append(caller)
        self._some.set()
        if len(self._gathered) >= MOST_IN_A_FLUSH:
            self._full.set()
        return caller

    async def _loop(self) -> None:
        while self._is_open or self._gathered:
            await self._some.wait()
            self._some.clear()
            await self._let_gather()
            if self._gathered:
                await self._flush(self._taken())
            if self._gathered:
                self._some.set()

    async def _let_gather(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._gather_seconds if self._is_open else 0):
                await self._full.wait()

    def _taken(self) -> list[_Gathered]:
        """Those that have waited longest, in the order of the primary key."""
        keys = [key for key, _ in zip(self._gathered, range(MOST_IN_A_FLUSH), strict=False)]
        if len(self._gathered) < 2 * MOST_IN_A_FLUSH:
            self._full.clear()
        return [self._gathered.pop(key) for key in sorted(keys)]

    async def _flush(self, batch: list[_Gathered]) -> None:
        """What the database refuses for a reason that nobody foresaw is halved until the bad rows stand alone, and only their callers hear
        of it. When nothing can be written, or it is refused more than REFUSALS times, the fault is ours: all that is left fails, and the
        keeper does not vouch (rule 4).
        """
        parts, refusals, written = [batch], 0, False
        try:
            while parts:
                error = await self._write(parts[-1])
                part = parts.pop()
                if error is None:
                    written = True
                    continue
                refusals += 1
                if isinstance(error, AgenthallError) or refusals > REFUSALS:
                    written = False
                    _fail([*part, *itertools.chain(*parts)], error)
                    break
                parts += _halved(part, error)
        except BaseException:
            _fail([*itertools.chain(*parts)], Unavailable("The server stops; try again"))
            raise
        self._failed_at = None if written else time.monotonic()

    async def _write(self, batch: list[_Gathered]) -> Exception | None:
        """One statement; its callers are answered, or what kept it from being written is returned."""
        self._flushing_since = time.monotonic()
        try:
            beaten = await self._leases.beat_many([each.beat for each in batch], self.id)
        except Exception as error:  # noqa: BLE001 - the loop outlives whatever a statement meets; the callers are told
            return error
        finally:
            self._flushing_since = None
        HEARTBEAT_ROWS.inc(by=len(batch))
        _answer(batch, beaten)
        return None


def _halved(refused: list[_Gathered], error: Exception) -> list[list[_Gathered]]:
    """The halves, the first one last; of a row that stands alone its callers hear now."""
    if len(refused) > 1:
        half = len(refused) // 2
        return [refused[half:], refused[:half]]
    _log.error("a heartbeat was refused", registration_id=str(refused[0].beat.registration_id), exc_info=error)
    _fail(refused, error)
    return []


def _merged(older: Beat, newer: Beat) -> Beat:
    return replace(
        newer,
        health=older.health if newer.health is None else newer.health,
        load=older.load if newer.load is None else newer.load,
        metrics=older.metrics if newer.metrics is None else newer.metrics,
    )


def _fail(batch: list[_Gathered], error: Exception) -> None:
    for caller in _waiting(batch):
        caller.set_exception(error)


def _waiting(batch: list[_Gathered]) -> list[asyncio.Future[BeatAnswer]]:
    return [caller for each in batch for caller in each.callers if not caller.done()]


def _answer(batch: list[_Gathered], beaten: Beaten) -> None:
    for each in batch:
        outcome = beaten.outcome(each.beat)
        if outcome == INVALID:
            _fail([each], refusal_of(each.beat))
            continue
        for caller in _waiting([each]):
            jitter = random.uniform(0.9, 1.1)  # noqa: S311 - not a secret
            seconds = round(beaten.interval_seconds * jitter, 3)
            caller.set_result(BeatAnswer(Outcome(outcome), seconds, beaten.ttl_seconds))
