"""Batch instance heartbeats into one UPDATE, and report that this process can receive them.

Rules
  1. A heartbeat that was answered `ok` is committed.
  2. One statement writes a batch in the order of the primary key. Only one is in flight; heartbeats that arrive
     meanwhile go into the next batch.
  3. A heartbeat never makes another one fail. Values that the database would refuse are refused before; a batch that is
     refused nevertheless is bisected.
  4. This process holds leases as a keeper. Once a second it touches its own row, on a pool that serves nothing else,
     and only while heartbeats can be written. After a gap the database records an outage, and evicts no instance
     because of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import structlog

from robyn_server.concurrency.bisect import bisect
from robyn_server.concurrency.periodic import Periodic
from robyn_server.core.errors import AgenthallError, Unavailable
from robyn_server.core.ids import new_id
from robyn_server.core.registry.instances import Heartbeat, HeartbeatResult, Outcome
from robyn_server.metrics.definitions import HEARTBEAT_ROWS, HEARTBEAT_SECONDS
from robyn_server.storage.registry.instances.leases import INVALID, BatchResult, KeeperState, Leases

from .heartbeat_rules import rejection_reason, validate_heartbeat

BATCH_SECONDS = 0.025
MAX_BATCH = 2000
MAX_REFUSALS = 36
"""Enough to isolate three bad rows among MAX_BATCH: each takes eleven halvings."""

REPORT_SECONDS = 1.0
UNANSWERED_SECONDS = 10.0
"""After so long without an answer the database counts as down. Clients' leases last 15 s."""

_STUCK_SECONDS = 1.5
"""While one statement takes longer than this, heartbeats cannot be written."""

_RECOVERY_SECONDS = 5.0
"""How long after a failed batch the keeper reports again, if no further batch is written."""

_STOP_SECONDS = 3.0

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Pending:
    """The merged heartbeats of one epoch of a registration, and the callers that wait for the result."""

    heartbeat: Heartbeat
    callers: list[asyncio.Future[HeartbeatResult]] = field(default_factory=list)


class HeartbeatBatcher:
    """`leases` has a pool of its own, of two connections. `kind` is the kind of process: web or sockets.

    `keeper_id` is that of a process which this one replaces; the time between them counts as an outage.
    """

    def __init__(
        self, leases: Leases, kind: str, keeper_id: UUID | None = None, *, batch_seconds: float = BATCH_SECONDS
    ) -> None:
        self.keeper_id = keeper_id or new_id()
        self._leases = leases
        self._kind = kind
        self._batch_seconds = batch_seconds
        self._pending: dict[tuple[UUID, UUID, int], _Pending] = {}
        self._has_pending = asyncio.Event()
        self._is_full = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_open = False
        self._writing_since: float | None = None
        self._failed_at: float | None = None
        self._answered_at: float | None = None
        self._outage_ended: Any = None
        self._reporting = Periodic(
            f"{kind} lease keeper", self.report_alive, REPORT_SECONDS, retry=0.5, longest=REPORT_SECONDS
        )

    def start(self) -> None:
        self._is_open = True
        self._task = asyncio.create_task(self._loop(), name=f"{self._kind} heartbeats")
        self._reporting.start()

    async def stop(self) -> None:
        """Write what is pending, if possible, and tell the database that this keeper stops, so that its silence is no
        outage."""
        self._is_open = False
        self._has_pending.set()
        self._is_full.set()
        if self._task is not None:
            with contextlib.suppress(TimeoutError, asyncio.CancelledError):
                async with asyncio.timeout(_STOP_SECONDS):
                    await self._task
        _fail(self._pending.values(), _stopping())
        self._pending.clear()
        await self._reporting.stop()
        with contextlib.suppress(Unavailable):
            await self._leases.stop_keeper(self.keeper_id)

    async def submit(self, heartbeat: Heartbeat) -> HeartbeatResult:
        """Write a heartbeat with the next batch. The outcome is MUST_REGISTER for another organization's registration,
        too.

        Raises Invalid naming the field, Unavailable (the client continues to send heartbeats).
        """
        if not self._is_open:
            raise Unavailable("This process does not accept heartbeats now. Try again.")
        validate_heartbeat(heartbeat)
        began = time.perf_counter()
        result = await self._enqueue(heartbeat)
        HEARTBEAT_SECONDS.observe(time.perf_counter() - began)
        return result

    async def report_alive(self) -> KeeperState | None:
        """Touch the keeper's row. Return None, and do not, while heartbeats cannot be written. Raises Unavailable."""
        if not self._can_write:
            return None
        state = await self._leases.touch_keeper(self.keeper_id, self._kind)
        self._answered_at = time.monotonic()
        if state.outage_ended is not None and state.outage_ended != self._outage_ended:
            self._outage_ended = state.outage_ended
            seconds = (state.outage_ended - state.outage_began).total_seconds() if state.outage_began else 0
            _log.warning(
                "this process could not receive heartbeats for a while", kind=self._kind, seconds=round(seconds, 1)
            )
        return state

    @property
    def is_database_up(self) -> bool:
        """Whether the database has answered the keeper's own heartbeat lately."""
        return self._answered_at is not None and time.monotonic() - self._answered_at < UNANSWERED_SECONDS

    @property
    def _can_write(self) -> bool:
        now = time.monotonic()
        if self._writing_since is not None:
            return now - self._writing_since < _STUCK_SECONDS and self._failed_at is None
        return self._failed_at is None or now - self._failed_at > _RECOVERY_SECONDS

    def _enqueue(self, heartbeat: Heartbeat) -> asyncio.Future[HeartbeatResult]:
        """Add a heartbeat to the next batch. A later one of the same epoch overrides the fields that it has."""
        key = (heartbeat.registration_id, heartbeat.tenant_id, heartbeat.epoch)
        pending = self._pending.get(key)
        if pending is None:
            pending = self._pending[key] = _Pending(heartbeat)
        else:
            pending.heartbeat = _merge(pending.heartbeat, heartbeat)
        caller: asyncio.Future[HeartbeatResult] = asyncio.get_running_loop().create_future()
        pending.callers.append(caller)
        self._has_pending.set()
        if len(self._pending) >= MAX_BATCH:
            self._is_full.set()
        return caller

    async def _loop(self) -> None:
        while self._is_open or self._pending:
            await self._has_pending.wait()
            self._has_pending.clear()
            await self._wait_for_more()
            if self._pending:
                await self._flush(self._next_batch())
            if self._pending:
                self._has_pending.set()

    async def _wait_for_more(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._batch_seconds if self._is_open else 0):
                await self._is_full.wait()

    def _next_batch(self) -> list[_Pending]:
        """Remove those that have waited longest, and return them in the order of the primary key."""
        keys = [key for key, _ in zip(self._pending, range(MAX_BATCH), strict=False)]
        if len(self._pending) < 2 * MAX_BATCH:
            self._is_full.clear()
        return [self._pending.pop(key) for key in sorted(keys)]

    async def _flush(self, batch: list[_Pending]) -> None:
        """Write a batch. Callers of rows that are refused alone get their error, and the keeper stays alive.

        If nothing can be written, or too much is refused, the fault is not the rows': all that is left fails, and the
        keeper does not report (rule 4).
        """
        try:
            is_written = await bisect(batch, self._write, _refuse, max_refusals=MAX_REFUSALS, fatal=AgenthallError)
        except BaseException:
            _fail(batch, _stopping())
            raise
        self._failed_at = None if is_written else time.monotonic()

    async def _write(self, batch: Sequence[_Pending]) -> None:
        self._writing_since = time.monotonic()
        try:
            result = await self._leases.record_heartbeats([each.heartbeat for each in batch], self.keeper_id)
        finally:
            self._writing_since = None
        HEARTBEAT_ROWS.inc(by=len(batch))
        _answer(batch, result)


def _merge(older: Heartbeat, newer: Heartbeat) -> Heartbeat:
    return replace(
        newer,
        health=older.health if newer.health is None else newer.health,
        load=older.load if newer.load is None else newer.load,
        metrics=older.metrics if newer.metrics is None else newer.metrics,
    )


def _refuse(batch: Sequence[_Pending], error: Exception) -> None:
    if not isinstance(error, AgenthallError):
        first = str(batch[0].heartbeat.registration_id)
        _log.error("heartbeats were refused", heartbeats=len(batch), registration_id=first, exc_info=error)
    _fail(batch, error)


def _fail(batch: Iterable[_Pending], error: Exception) -> None:
    for caller in _waiting(batch):
        caller.set_exception(error)


def _waiting(batch: Iterable[_Pending]) -> list[asyncio.Future[HeartbeatResult]]:
    return [caller for each in batch for caller in each.callers if not caller.done()]


def _stopping() -> Unavailable:
    return Unavailable("The server is stopping. Try again.")


def _answer(batch: Sequence[_Pending], result: BatchResult) -> None:
    for each in batch:
        answer = result.answer(each.heartbeat)
        if answer.outcome == INVALID:
            _fail([each], rejection_reason(each.heartbeat))
            continue
        for caller in _waiting([each]):
            jitter = random.uniform(0.9, 1.1)  # noqa: S311 - not a secret
            seconds = round(result.interval_seconds * jitter, 3)
            caller.set_result(
                HeartbeatResult(
                    Outcome(answer.outcome),
                    seconds,
                    result.ttl_seconds,
                    enabled=answer.enabled,
                    cordoned=answer.cordoned,
                )
            )
