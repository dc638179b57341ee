"""Reads the events of runs from Redis, and from PostgreSQL what is there of the same runs: ends, and events that Redis
did not take.

Rules
  1. PostgreSQL is asked first, then Redis. A worker writes all events before the end, so a reader that sees the end
     first also finds the events. PostgreSQL is asked only for runs that a notification named, that a client begins to
     follow, or when all are polled.
  2. Both are merged by the numbers of events. A page that was cut limits what is yielded, so that nothing is passed
     over.
  3. A gap between two numbers means that Redis has lost events, or does not answer. In the first case, and in the
     second after `_PATIENCE_SECONDS`, a note takes their place, and the reader goes on. So an end in PostgreSQL ends
     every stream.
  4. Numbers jump where an attempt begins, and before what the database writes when a worker is gone (attempt_seq() in
     the schema). Nothing was lost there if the event before the jump still exists.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import orjson

from robyn_server.core.errors import AgenthallError, Unavailable
from robyn_server.core.runs import ATTEMPT_SEQS, END, LAST, MISSING, RunEvent
from robyn_server.metrics.definitions import EVENTS_MISSING
from robyn_server.redis_streams.health import RedisHealth
from robyn_server.redis_streams.streams import Page, RunEventStreams
from robyn_server.storage.runs.queue import LARGEST_READ, RunQueue

_PATIENCE_SECONDS = 5.0
"""How long events that only Redis can have are waited for, while it does not answer."""
_WRITTEN_BY_DATABASE = 2
"""How many numbers at the end of an attempt's range the database uses."""


@dataclass(frozen=True, slots=True)
class _Found:
    """Pages of one run. `redis` is None when Redis did not answer."""

    after: int
    postgres: Page
    redis: Page | None

    @property
    def is_cut(self) -> bool:
        return self.postgres.has_more or (self.redis is not None and self.redis.has_more)

    def merge(self) -> list[RunEvent]:
        """Events of both in order and once, up to the end of a page that was cut."""
        if self.redis is not None and not self.postgres.events:
            return list(self.redis.events)
        pages = [self.postgres] if self.redis is None else [self.postgres, self.redis]
        until = min((page.events[-1].seq for page in pages if page.has_more), default=None)
        by_seq = {event.seq: event for page in reversed(pages) for event in page.events if event.event != END}
        merged = [by_seq[seq] for seq in sorted(by_seq) if until is None or seq <= until]
        return merged + ([event for event in self.postgres.events if event.event == END] if until is None else [])


class RedisEventSource:
    def __init__(self, streams: RunEventStreams, queue: RunQueue, health: RedisHealth) -> None:
        self._streams = streams
        self._queue = queue
        self._health = health
        self._noted: set[UUID] = set()
        self._looks_everywhere = False
        self._waiting_since: dict[UUID, float] = {}

    def look_for(self, run_id: UUID) -> None:
        """Look for this run in PostgreSQL at the next read."""
        self._noted.add(run_id)

    def look_everywhere(self) -> None:
        """Look for all runs in PostgreSQL at the next read, which is for all of them."""
        self._looks_everywhere = True

    async def last_seq_before_end(self, run_id: UUID) -> int:
        in_postgres = await self._queue.last_seq_before_end(run_id)
        try:
            return max(in_postgres, await self._streams.last_seq(run_id))
        except AgenthallError as error:
            self._health.report_failure(error)
            if in_postgres:  # the run has ended, or goes on there
                return in_postgres
            raise Unavailable("The events of this run are in Redis, which does not answer.") from None

    async def read_events(self, after: Mapping[UUID, int], limit: int) -> dict[UUID, list[RunEvent]]:
        found = await self._read(after, self._to_look_for(after), limit)
        events: dict[UUID, list[RunEvent]] = {}
        gaps = []
        for run_id, each in found.items():
            events[run_id], has_gap = _before_gap(each)
            if each.is_cut and each.postgres.events:
                self._noted.add(run_id)  # there is more than what fits, such as the end
            if has_gap:
                gaps.append(run_id)
            else:
                self._waiting_since.pop(run_id, None)
        if gaps:  # PostgreSQL may have what is missing
            again = await self._read({run_id: after[run_id] for run_id in gaps}, set(gaps), limit)
            events |= {run_id: await self._over_gaps(run_id, each) for run_id, each in again.items()}
        return {run_id: kept for run_id, each in events.items() if (kept := [e for e in each if e.event != LAST])}

    def _to_look_for(self, after: Mapping[UUID, int]) -> set[UUID]:
        if self._looks_everywhere:
            self._looks_everywhere = False
            self._noted = set()
            self._waiting_since = {run_id: at for run_id, at in self._waiting_since.items() if run_id in after}
            return set(after)
        chosen = self._noted & after.keys()
        self._noted -= chosen
        return chosen

    async def _read(self, after: Mapping[UUID, int], looked_for: set[UUID], limit: int) -> dict[UUID, _Found]:
        asked = {run_id: after[run_id] for run_id in looked_for}
        rows = await self._queue.read_events(asked, limit) if asked else {}
        pages = await self._read_redis(after, limit)
        return {
            run_id: _Found(seq, _page(rows.get(run_id, []), limit), None if pages is None else pages[run_id])
            for run_id, seq in after.items()
        }

    async def _read_redis(self, after: Mapping[UUID, int], limit: int) -> dict[UUID, Page] | None:
        if not self._health.is_up:
            return None
        try:
            return await self._streams.read(after, limit, LARGEST_READ)
        except AgenthallError as error:
            self._health.report_failure(error)
            return None

    async def _over_gaps(self, run_id: UUID, found: _Found) -> list[RunEvent]:
        """The events with notes in the place of those that are lost; only those before the first gap while it is waited
        for."""
        if found.redis is None and not self._has_waited(run_id):
            return _before_gap(found)[0]
        seq, events = found.after, list[RunEvent]()
        for event in found.merge():
            if event.seq > seq + 1 and await self._is_missing(run_id, found, seq, event):
                events.append(_note(seq, event))
                EVENTS_MISSING.inc()
            events.append(event)
            seq = max(seq, event.seq)
        return events

    def _has_waited(self, run_id: UUID) -> bool:
        began = self._waiting_since.setdefault(run_id, time.monotonic())
        return time.monotonic() - began >= _PATIENCE_SECONDS

    async def _is_missing(self, run_id: UUID, found: _Found, seq: int, event: RunEvent) -> bool:
        """Whether events between `seq` and `event` were lost (rule 4)."""
        if found.redis is None or not _is_jump(event):
            return True
        if seq > found.after or seq % ATTEMPT_SEQS == 0:
            return False  # the event before was just read, or there was none
        try:
            return not (await self._streams.has(run_id, seq) or await self._queue.has_event(run_id, seq))
        except AgenthallError as error:
            self._health.report_failure(error)
            return True


def _before_gap(found: _Found) -> tuple[list[RunEvent], bool]:
    """The events whose numbers follow each other, and whether there are others after a gap."""
    seq, events = found.after, list[RunEvent]()
    for event in found.merge():
        if event.seq > seq + 1:
            return events, True
        events.append(event)
        seq = max(seq, event.seq)
    return events, False


def _page(rows: Sequence[RunEvent], limit: int) -> Page:
    """The database cuts a page at `limit` events, and at LARGEST_READ bytes, which are at least a quarter as many
    characters."""
    is_cut = len(rows) >= limit or sum(len(row.data) for row in rows) >= LARGEST_READ // 4
    return Page(rows, has_more=is_cut and rows[-1].event != END)


def _is_jump(event: RunEvent) -> bool:
    """Whether numbers may jump to that of `event` without a loss."""
    place = (event.seq - 1) % ATTEMPT_SEQS
    return place == 0 or place >= ATTEMPT_SEQS - _WRITTEN_BY_DATABASE


def _note(seq: int, event: RunEvent) -> RunEvent:
    """A note in the place of the events between. It has the number of the last one, so a reader resumes after it."""
    data = {"attempt": event.attempt, "missing_events": {"after": seq, "before": event.seq}}
    return RunEvent(event.seq - 1, event.attempt, MISSING, orjson.dumps(data).decode())
