"""Mark lapsed leases once a second, and delete old events once a minute.

Rules
  1. Reads decide whether an instance is alive by `mcp.is_alive`, so answers are right while nobody sweeps.
  2. Any process may sweep. A process skips its turn if another one has swept just before.
  3. The first sweep after a gap also reports a global outage (mcp.record_global_outage), whether or not this process's
     keeper has
     reported: from then on, instances get the grace period.
  4. The process that made a sweep counts and logs its result, and no other process does. So an engaged brake is counted
     once.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

import structlog

from robyn_server.concurrency.periodic import Periodic
from robyn_server.metrics.definitions import BRAKES_ENGAGED, DETECTION_SECONDS, LEASES_EXPIRED, LEASES_SWEPT
from robyn_server.storage.registry.instances.leases import Brake, Lapsed, Leases, RegistryStatus, SweepResult

SWEEP_SECONDS = 1.0
COMPACT_SECONDS = 60.0
_LONGEST_BACKOFF = 5.0
_UNANSWERED_SECONDS = 3 * _LONGEST_BACKOFF
_RETRY_SECONDS = 0.2
MAX_MARKED = 10_000
"""Leases that one sweep marks at most (the default of mcp.sweep_agent_instances).

After such a sweep the next one is not skipped.
"""

_PUBLISH_BATCH = 1000
_LOGGED_LAPSES = 20
"""Lines of one sweep."""

_RECENT = 0.7
"""A sweep is recent for this part of the interval, so all processes together sweep about as often as one would."""

_log = structlog.get_logger(__name__)


class SweepTurn(StrEnum):
    """Whether a process swept in its turn.

    RECENT: another one has swept just before. SKIPPED: another one was sweeping.
    """

    SWEPT = "swept"
    RECENT = "recent"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Retention:
    """Limits of the event log by age and by rows. The stricter one applies."""

    keep: timedelta = timedelta(hours=1)
    keep_rows: int = 100_000


class Sweeper:
    """`every`: seconds between two sweeps, ±10 %."""

    def __init__(self, leases: Leases, retention: Retention | None = None, *, every: float = SWEEP_SECONDS) -> None:
        self.status: RegistryStatus | None = None
        self.last_result: SweepResult | None = None
        """The result of this process's last sweep."""
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

    async def run_once(self, now: datetime | None = None) -> SweepTurn:
        """Take one turn as of `now` (None: the database's time). Raises Unavailable."""
        was_full = self.last_result is not None and self.last_result.stale >= MAX_MARKED
        within = timedelta(0) if now or was_full else self._within
        status = self.status = await self._leases.status(now=now, within=within)
        self._answered_at = time.monotonic()
        if status.is_recent:
            return SweepTurn.RECENT
        brakes_before = await self._leases.list_brakes() if status.brakes else []
        result = await self._leases.sweep(status.at)
        if result.skipped:
            return SweepTurn.SKIPPED
        self.last_result = result
        await self._count(result, status.at)
        if result.braked_sets or brakes_before:
            _report_brakes(brakes_before, await self._leases.list_brakes(), status.at)
        return SweepTurn.SWEPT

    async def sweep_and_compact(self) -> SweepResult:
        """Sweep once, waiting while another process sweeps, and delete old events. Raises Unavailable.

        With `every` 0, a sweep that another process has just made does not count.
        """
        while await self.run_once() is not SweepTurn.SWEPT or self.last_result is None:
            await asyncio.sleep(_RETRY_SECONDS)
        await self.compact()
        return self.last_result

    async def compact(self) -> int:
        """Delete old events, and return the lowest position that is kept.

        Events that wait in the inbox are published first, because there may be no server that publishes them.
        """
        last = -1
        while (position := await self._leases.publish_events(_PUBLISH_BATCH)) != last:
            last = position
        return await self._leases.compact_events(self._retention.keep, self._retention.keep_rows)

    def report(self) -> dict[str, bool]:
        """Return for the public readiness check whether the registry answered lately.

        Numbers are available as metrics only.
        """
        return {"ok": self._answered_at is not None and time.monotonic() - self._answered_at < _UNANSWERED_SECONDS}

    async def _count(self, result: SweepResult, at: datetime) -> None:
        for name in ("stale", "inactive", "deleted"):
            LEASES_SWEPT.inc(name, by=getattr(result, name))
        if result.stale:
            lapsed = await self._leases.list_lapsed(at)
            for each in lapsed:
                LEASES_EXPIRED.inc(each.reason)
                DETECTION_SECONDS.observe(each.seconds)
            _log_lapsed(lapsed)


def _log_lapsed(lapsed: list[Lapsed]) -> None:
    for each in lapsed[:_LOGGED_LAPSES]:
        _log.info(
            "instance lapsed",
            agent=each.agent_id,
            instance=each.instance_id,
            reason=each.reason,
            silent_seconds=round(each.seconds, 1),
            registration_id=str(each.registration_id),
        )
    if len(lapsed) > _LOGGED_LAPSES:
        _log.info("further instances lapsed", instances=len(lapsed) - _LOGGED_LAPSES)


def _report_brakes(before: list[Brake], after: list[Brake], at: datetime) -> None:
    """Count and log the brakes that the sweep at `at` engaged, and log those that it released."""
    old, new = _by_set(before), _by_set(after)
    for key in new.keys() - old.keys():
        if new[key].since == at:  # else the sweep of another process engaged it meanwhile
            BRAKES_ENGAGED.inc()
            _log_engaged(new[key])
    for tenant_id, agent_id in old.keys() - new.keys():
        _log.info("brake released", tenant_id=str(tenant_id), agent_id=agent_id)


def _by_set(brakes: list[Brake]) -> dict[tuple[UUID, str], Brake]:
    return {(brake.tenant_id, brake.agent_id): brake for brake in brakes}


def _log_engaged(brake: Brake) -> None:
    _log.warning(
        "brake engaged",
        reason="many leases lapsed at once, probably by a fault of the server; the instances are kept but get no work",
        tenant_id=str(brake.tenant_id),
        agent_id=brake.agent_id,
        stale=brake.stale,
        total=brake.total,
        since=brake.since.isoformat(),
    )
