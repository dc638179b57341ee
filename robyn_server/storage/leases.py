"""Leases, their keepers and what happened to instances, of all tenants. Works as agenthall_system. All times are the database's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from robyn_server.core.registry import Beat, EventKind, InstanceEvent

from .database import Pool
from .errors import translated
from .json import from_json, to_json
from .queries import load

INVALID = "invalid"
"""What a heartbeat is answered that says something impossible of its health, load or metrics."""

_SQL = load("leases")
_BEAT_SECONDS = 5.0
_KEEPER_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Beaten:
    """Seconds as they are dictated now, without jitter."""

    held: Mapping[tuple[UUID, int], str]
    others: Mapping[tuple[UUID, UUID, int], str]
    interval_seconds: float
    ttl_seconds: float

    def outcome(self, beat: Beat) -> str:
        """An Outcome's word, or INVALID."""
        refused = self.others.get((beat.tenant_id, beat.registration_id, beat.epoch))
        return refused or self.held[beat.registration_id, beat.epoch]


@dataclass(frozen=True, slots=True)
class KeeperState:
    last_beat: datetime
    outage_began: datetime | None
    outage_ended: datetime | None


@dataclass(frozen=True, slots=True)
class Standing:
    """How the registry stands at a moment. `live`: at the last sweep. `is_recent`: it was just now."""

    at: datetime
    live: int
    stale: int
    brakes: int
    is_recent: bool


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep wrote down. `skipped`: another one was at it."""

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
    """`reason`: `silent` (its keeper was there), `keeper_gone`, or `unkept` (its connection had dropped, or SQL registered it)."""

    reason: str
    seconds: float


@dataclass(frozen=True, slots=True)
class EventLog:
    """`lowest`: the first position that is still kept; `last` + 1 when none is."""

    lowest: int
    last: int


@dataclass(frozen=True, slots=True)
class EventPage:
    """`log`: as it was when the page was read."""

    log: EventLog
    events: list[InstanceEvent]


class Leases:
    """Raises Unavailable."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def beat_many(self, beats: Sequence[Beat], keeper_id: UUID) -> Beaten:
        """Heartbeats of any tenants, at most one for each life of a registration, in one statement. Committed when it returns."""
        columns = (
            [beat.tenant_id for beat in beats],
            [beat.registration_id for beat in beats],
            [beat.epoch for beat in beats],
            [beat.health for beat in beats],
            [to_json(beat.load) for beat in beats],
            [to_json(beat.metrics) for beat in beats],
        )
        async with translated():
            rows = await self._pool.fetch(_SQL["beat_many"], *columns, keeper_id, timeout=_BEAT_SECONDS)
        held = {(row[1], row[2]): row[3] for row in rows if row[0] is None}
        others = {(row[0], row[1], row[2]): row[3] for row in rows if row[0] is not None}
        return Beaten(held, others, rows[0]["interval_seconds"], rows[0]["ttl_seconds"])

    async def beat_keeper(self, keeper_id: UUID, kind: str, *, now: datetime | None = None) -> KeeperState:
        async with translated():
            row = await self._pool.fetchrow(_SQL["beat_keeper"], keeper_id, kind, now, timeout=_KEEPER_SECONDS)
        assert row is not None  # noqa: S101 - an upsert that returns
        return KeeperState(row["last_beat"], row["outage_began"], row["outage_ended"])

    async def stop_keeper(self, keeper_id: UUID) -> None:
        async with translated():
            await self._pool.fetchval(_SQL["stop_keeper"], keeper_id, timeout=_KEEPER_SECONDS)

    async def look(self, *, now: datetime | None = None, within: timedelta = timedelta(0)) -> Standing:
        """`within`: a sweep that short ago counts as recent; up to six times that where there are so many that they beat every minute."""
        async with translated():
            row = await self._pool.fetchrow(_SQL["look"], now, within)
        assert row is not None  # noqa: S101 - one row
        return Standing(row["at"], row["live"], row["stale"], row["brakes"], row["is_recent"])

    async def sweep(self, at: datetime) -> Swept:
        async with translated():
            row = await self._pool.fetchrow(_SQL["sweep"], at)
        assert row is not None  # noqa: S101 - one row
        return Swept(**row)

    async def brakes(self) -> list[Brake]:
        async with translated():
            return [Brake(**row) for row in await self._pool.fetch(_SQL["brakes"])]

    async def lapsed(self, at: datetime) -> list[Lapsed]:
        """Those that the sweep at `at` found."""
        async with translated():
            rows = await self._pool.fetch(_SQL["lapsed"], at)
        return [Lapsed(row["reason"], row["seconds"]) for row in rows]

    async def living(self, most: int, others: str) -> dict[str, int]:
        """Instances by type: of the `most` types with most of them by their agent_id, all others together as `others`."""
        async with translated():
            rows = await self._pool.fetch(_SQL["agents"], most, others)
        return {row["agent"]: row["instances"] for row in rows}

    async def publish_events(self, most: int) -> int:
        """Moves what waits to the log; the last position there."""
        async with translated():
            last: int = await self._pool.fetchval(_SQL["publish"], most)
        return last

    async def compact_events(self, keep: timedelta, keep_rows: int) -> int:
        """The lowest position that is still kept."""
        async with translated():
            lowest: int = await self._pool.fetchval(_SQL["compact"], keep, keep_rows)
        return lowest

    async def event_log(self) -> EventLog:
        async with translated():
            row = await self._pool.fetchrow(_SQL["event_log"])
        assert row is not None  # noqa: S101 - one row
        return EventLog(row["lowest"], row["last"])

    async def read_events(self, after: int, limit: int) -> tuple[list[InstanceEvent], list[float]]:
        """Of all tenants, with their ages in seconds."""
        async with translated():
            rows = await self._pool.fetch(_SQL["read_events"], after, limit)
        return [_event(row) for row in rows], [row["age"] for row in rows]

    async def read_events_of(self, tenant: UUID | None, after: int, limit: int) -> EventPage:
        """One tenant's, or all."""
        async with translated():
            rows = await self._pool.fetch(_SQL["read_events_of"], tenant, after, limit)
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
