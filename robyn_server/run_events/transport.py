"""The two ends of the pipe through which the events of runs go from a worker to web processes.

A transport is a sink and a source. PostgreSQL is one (`writer.py`, and `RunQueue` as the source), Redis Streams the
other (`redis_sink.py`, `redis_source.py`). `tests/run_events/test_transports.py` holds both to the same contract.

Rules
  1. Events of a run are numbered by the holder of its lease, without gaps. Their SSE ids have the same form for every
     transport.
  2. The end of a run is in PostgreSQL, in the transaction that ends it. A source yields it after all events before it.
  3. An attempt that is over adds nothing once its successor has begun.
  4. A source knows nothing of rights: its caller has asked the database whether the principal may read the run.
  5. Events that are lost are never passed over in silence: the source puts a note in their place (`MISSING`).
  6. Events are kept for AGENTHALL_EVENT_TTL after the end of their run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol
from uuid import UUID

from robyn_server.core.runs import ClaimedRun, RunEnd, RunEvent


class EventSink(Protocol):
    """A worker's end."""

    async def begin(self, run: ClaimedRun) -> int:
        """Begin an attempt, and refuse earlier ones. Return the number after which its events go on."""

    async def add(self, run: ClaimedRun, event: RunEvent) -> None:
        """Take an event, which is written soon. Wait while too many wait."""

    async def end(self, run: ClaimedRun, end: RunEnd, last_seq: int) -> None:
        """Return when all events and the end are committed, or when the lease is known to be lost.

        `last_seq`: of the last event.
        """

    def close(self, run: ClaimedRun) -> None:
        """Forget a run. Its events are still written."""

    async def settle(self, seconds: float) -> None:
        """Wait until everything is written, at most `seconds`."""


class EventSource(Protocol):
    """A web process's end."""

    async def read_events(self, after: Mapping[UUID, int], limit: int) -> dict[UUID, list[RunEvent]]:
        """Read up to `limit` events of each run after the seq given for it; its end also where it does not come after.

        Raises Unavailable.
        """

    async def last_seq_before_end(self, run_id: UUID) -> int:
        """The number of the newest event before the end; 0 without one. Raises Unavailable."""
