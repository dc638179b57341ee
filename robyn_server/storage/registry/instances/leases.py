"""Leases, their keepers and the events of instances, of all organizations.

Works as agenthall_system. All times are the database's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg

from robyn_server import __version__
from robyn_server.core.registry.instances import EventKind, Heartbeat, InstanceEvent
from robyn_server.storage.postgres.errors import translated
from robyn_server.storage.postgres.json import from_json, to_json
from robyn_server.storage.postgres.pools import Pool
from robyn_server.storage.postgres.queries import load

INVALID = "invalid"
"""The answer to a heartbeat with an invalid health, load or metrics."""

_SQL = load("registry/instances/leases")
_BEAT_SECONDS = 5.0
_KEEPER_SECONDS = 2.0


class BeatAnswer(NamedTuple):
    """`outcome`: the value of an Outcome, or INVALID."""

    outcome: str
    enabled: bool
    cordoned: bool


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The results of a batch of heartbeats, and the current interval and TTL without jitter."""

    accepted: Mapping[tuple[UUID, int], BeatAnswer]
    rejected: Mapping[tuple[UUID, UUID, int], BeatAnswer]
    interval_seconds: float
    ttl_seconds: float

    def answer(self, beat: Heartbeat) -> BeatAnswer:
        rejected = self.rejected.get((beat.tenant_id, beat.registration_id, beat.epoch))
        return rejected or self.accepted[beat.registration_id, beat.epoch]


@dataclass(frozen=True, slots=True)
class KeeperState:
    last_heartbeat: datetime
    outage_began: datetime | None
    outage_ended: datetime | None


@dataclass(frozen=True, slots=True)
class RegistryStatus:
    """Numbers of instances and brakes. `live`: at the last sweep. `is_recent`: the last sweep was just now."""

    at: datetime
    live: int
    stale: int
    brakes: int
    is_recent: bool


@dataclass(frozen=True, slots=True)
class SweepResult:
    """Numbers of what one sweep changed. `skipped`: another sweep was running."""

    stale: int
    inactive: int
    deleted: int
    braked_sets: int
    live: int
    skipped: bool


@dataclass(frozen=True, slots=True)
class Brake:
    tenant_id: UUID
    agent_id: str
    since: datetime
    stale: int
    total: int


@dataclass(frozen=True, slots=True)
class Lapsed:
    """A lapsed lease. `reason`: `silent` (its keeper was alive), `keeper_gone`, or `unkept` (disconnected, or
    registered by SQL). `seconds`: the silence before.
    """

    reason: str
    seconds: float
    registration_id: UUID
    agent_id: str
    instance_id: str


@dataclass(frozen=True, slots=True)
class EventLog:
    """`lowest`: the first position that is still kept; `last` + 1 for an empty log."""

    lowest: int
    last: int


@dataclass(frozen=True, slots=True)
class EventPage:
    """A page of events, and the log at the time of reading."""

    log: EventLog
    events: list[InstanceEvent]


class Leases:
    """Raises Unavailable."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def record_heartbeats(self, beats: Sequence[Heartbeat], keeper_id: UUID) -> BatchResult:
        """Write heartbeats of any organizations in one statement, at most one for each registration and epoch.

        They are committed when it returns.
        """
        query = _SQL["record_heartbeats"].bind(
            organization_ids=[beat.tenant_id for beat in beats],
            registration_ids=[beat.registration_id for beat in beats],
            epochs=[beat.epoch for beat in beats],
            healths=[beat.health for beat in beats],
            loads=[to_json(beat.load) for beat in beats],
            metrics=[to_json(beat.metrics) for beat in beats],
            keeper_id=keeper_id,
        )
        async with translated():
            rows = await self._pool.fetch(*query, timeout=_BEAT_SECONDS)
        answers = [(row, BeatAnswer(row["outcome"], row["enabled"], row["cordoned"])) for row in rows]
        accepted = {(row[1], row[2]): answer for row, answer in answers if row[0] is None}
        rejected = {(row[0], row[1], row[2]): answer for row, answer in answers if row[0] is not None}
        return BatchResult(accepted, rejected, rows[0]["interval_seconds"], rows[0]["ttl_seconds"])

    async def touch_keeper(self, keeper_id: UUID, kind: str, *, now: datetime | None = None) -> KeeperState:
        async with translated():
            query = _SQL["touch_keeper"].bind(keeper_id=keeper_id, kind=kind, now=now, version=__version__)
            row = await self._pool.fetchrow(*query, timeout=_KEEPER_SECONDS)
        assert row is not None  # noqa: S101 - an upsert that returns
        return KeeperState(row["last_heartbeat"], row["outage_began"], row["outage_ended"])

    async def stop_keeper(self, keeper_id: UUID) -> None:
        async with translated():
            await self._pool.fetchval(*_SQL["stop_keeper"].bind(keeper_id=keeper_id), timeout=_KEEPER_SECONDS)

    async def status(self, *, now: datetime | None = None, within: timedelta = timedelta(0)) -> RegistryStatus:
        """`within`: a sweep is recent for this time, and up to six times longer when there are many instances."""
        async with translated():
            row = await self._pool.fetchrow(*_SQL["status"].bind(now=now, within=within))
        assert row is not None  # noqa: S101 - one row
        return RegistryStatus(row["at"], row["live"], row["stale"], row["brakes"], row["is_recent"])

    async def sweep(self, at: datetime) -> SweepResult:
        async with translated():
            row = await self._pool.fetchrow(*_SQL["sweep"].bind(at=at))
        assert row is not None  # noqa: S101 - one row
        return SweepResult(**row)

    async def list_brakes(self) -> list[Brake]:
        async with translated():
            return [Brake(**row) for row in await self._pool.fetch(*_SQL["list_brakes"].bind())]

    async def list_lapsed(self, at: datetime) -> list[Lapsed]:
        """Leases that the sweep at `at` found lapsed."""
        async with translated():
            rows = await self._pool.fetch(*_SQL["list_lapsed"].bind(at=at))
        return [Lapsed(**row) for row in rows]

    async def count_living(self, most: int, others: str) -> dict[str, int]:
        """Count living instances by agent_id: the `most` largest types, and all others together as `others`."""
        async with translated():
            rows = await self._pool.fetch(*_SQL["count_living"].bind(most=most, others=others))
        return {row["agent"]: row["instances"] for row in rows}

    async def publish_events(self, most: int) -> int:
        """Move up to `most` pending events to the log. Return the last position."""
        async with translated():
            last: int = await self._pool.fetchval(*_SQL["publish_events"].bind(most=most))
        return last

    async def compact_events(self, keep: timedelta, keep_rows: int) -> int:
        """Delete old events. Return the lowest position that is still kept."""
        async with translated():
            lowest: int = await self._pool.fetchval(*_SQL["compact_events"].bind(keep=keep, keep_rows=keep_rows))
        return lowest

    async def event_log(self) -> EventLog:
        async with translated():
            row = await self._pool.fetchrow(*_SQL["event_log"].bind())
        assert row is not None  # noqa: S101 - one row
        return EventLog(row["lowest"], row["last"])

    async def read_events(self, after: int, limit: int) -> tuple[list[InstanceEvent], list[float]]:
        """Events of all organizations, and their ages in seconds."""
        async with translated():
            rows = await self._pool.fetch(*_SQL["read_events"].bind(after=after, limit=limit))
        return [_event(row) for row in rows], [row["age"] for row in rows]

    async def read_events_of(self, organization_id: UUID | None, after: int, limit: int) -> EventPage:
        """Events of one organization, or of all."""
        async with translated():
            query = _SQL["read_events_of"].bind(organization_id=organization_id, after=after, limit=limit)
            rows = await self._pool.fetch(*query)
        log = EventLog(rows[0]["lowest"], rows[0]["last"])
        return EventPage(log, [_event(row) for row in rows if row["position"] is not None])


def _event(row: asyncpg.Record | Mapping[str, Any]) -> InstanceEvent:
    return InstanceEvent(
        row["position"],
        EventKind(row["kind"]),
        row["tenant_id"],
        row["agent_id"],
        row["registration_id"],
        from_json(row["instance"]),
        row["at"],
    )
