"""Writes down once a second, in whichever process comes first, what has become of leases; and once a minute forgets old events.

Whether an instance lives is decided where it is asked (mcp.is_alive), so nothing is wrong while nobody sweeps. After a long outage the
first sweep comes at once, whether or not this process's keeper has beaten: it tells the database that the silence of all of us was an
outage (mcp.note_silence_of_all), and from then on their instances have the grace.

What a sweep finds is counted and said by the process that made that sweep, and by no other: a brake is engaged by one sweep, whoever
else sees it, and whoever starts anew while it holds.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

import structlog

from robyn_server.metrics.definitions import BRAKES_ENGAGED, DETECTION_SECONDS, LEASES_EXPIRED, LEASES_SWEPT
from robyn_server.storage.leases import Brake, Leases, Standing, Swept

from .background import Periodic

SWEEP_SECONDS = 1.0
COMPACT_SECONDS = 60.0
_LONGEST_BACKOFF = 5.0
_UNANSWERED_SECONDS = 3 * _LONGEST_BACKOFF
MARKED_AT_ONCE = 10_000
"""By one sweep (the default of mcp.sweep_agent_instances): one that marked so many is followed by another, however recent it is."""

_PUBLISHED_AT_ONCE = 1000
_RECENT = 0.7
"""Of a second between sweeps: all processes together sweep about as often as one would."""

_log = structlog.get_logger(__name__)


class Turn(StrEnum):
    """What came of one turn."""

    SWEPT = "swept"
    RECENT = "recent"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Retention:
    """Of events: how long, and at most how many, whichever is less."""

    keep: timedelta = timedelta(hours=1)
    keep_rows: int = 100_000


class Sweeper:
    """`every`: seconds between two sweeps, ±10 %."""

    def __init__(self, leases: Leases, retention: Retention | None = None, *, every: float = SWEEP_SECONDS) -> None:
        self.standing: Standing | None = None
        self.last: Swept | None = None
        """What the last sweep of this process came to."""
        self._leases = leases
        self._retention = retention or Retention()
        self._within = timedelta(seconds=_RECENT * every)
        self._answered_at: float | None = None
        self._sweeping = Periodic("sweeper", self.run_once, every, longest=_LONGEST_BACKOFF)
        self._compacting = Periodic("event compaction", self.compact, COMPACT_SECONDS)

    def start(self) -> None:
        self._sweeping.start()
        self._compacting.start()

    async def stop(self) -> None:
        await self._sweeping.stop()
        await self._compacting.stop()

    async def run_once(self, now: datetime | None = None) -> Turn:
        """One turn, as of `now` (unset: the database's clock). Raises Unavailable."""
        is_full = self.last is not None and self.last.stale >= MARKED_AT_ONCE
        within = timedelta(0) if now or is_full else self._within
        standing = self.standing = await self._leases.look(now=now, within=within)
        self._answered_at = time.monotonic()
        if standing.is_recent:
            return Turn.RECENT
        before = await self._leases.brakes() if standing.brakes else []
        swept = await self._leases.sweep(standing.at)
        if swept.skipped:
            return Turn.SKIPPED
        self.last = swept
        await self._count(swept, standing.at)
        if swept.braked_sets or before:
            _note_brakes(before, await self._leases.brakes(), standing.at)
        return Turn.SWEPT

    async def compact(self) -> int:
        """The lowest position that is still kept. Where no server runs that publishes, it is done here."""
        last = -1
        while (now := await self._leases.publish_events(_PUBLISHED_AT_ONCE)) != last:
            last = now
        return await self._leases.compact_events(self._retention.keep, self._retention.keep_rows)

    def report(self) -> dict[str, bool]:
        """For readiness, which everybody may read: whether the registry has answered this process of late. How many there are is a metric."""
        return {"ok": self._answered_at is not None and time.monotonic() - self._answered_at < _UNANSWERED_SECONDS}

    async def _count(self, swept: Swept, at: datetime) -> None:
        for what in ("stale", "inactive", "deleted"):
            LEASES_SWEPT.inc(what, by=getattr(swept, what))
        if swept.stale:
            for lapsed in await self._leases.lapsed(at):
                LEASES_EXPIRED.inc(lapsed.reason)
                DETECTION_SECONDS.observe(lapsed.seconds)


def _note_brakes(before: list[Brake], after: list[Brake], at: datetime) -> None:
    """Of the sweep at `at`. One that another process's sweep engaged meanwhile has another `since`; one that was renewed was there before."""
    old, new = _by_set(before), _by_set(after)
    for key in new.keys() - old.keys():
        if new[key].since == at:
            BRAKES_ENGAGED.inc()
            _warn(new[key])
    for tenant_id, agent_id in old.keys() - new.keys():
        _log.info("brake released", tenant_id=str(tenant_id), agent_id=agent_id)


def _by_set(brakes: list[Brake]) -> dict[tuple[UUID, str], Brake]:
    return {(brake.tenant_id, brake.agent_id): brake for brake in brakes}


def _warn(brake: Brake) -> None:
    _log.warning(
        "brake: many instances lapsed at once, so the fault is probably ours; they get no work, and are kept",
        tenant_id=str(brake.tenant_id),
        agent_id=brake.agent_id,
        stale=brake.stale,
        total=brake.total,
        since=brake.since.isoformat(),
    )
