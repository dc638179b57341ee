"""A day of metrics, and what an overview of the moment needs. Works as agenthall_system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from robyn_server.core.metric_points import Minute
from robyn_server.storage.postgres.errors import translated
from robyn_server.storage.postgres.json import from_json
from robyn_server.storage.postgres.pools import Pool
from robyn_server.storage.postgres.queries import load

SETTLE = timedelta(seconds=5)
"""Time after a minute in which the last transactions of it are committed."""

KEPT_EVENTS = timedelta(seconds=150)
"""A minute is recorded within this time, from the events of its runs. They are not swept before."""

_SQL = load("operations/metrics_history")


@dataclass(frozen=True, slots=True)
class Now:
    """`instances`: by their health. `connections`: of the whole database server. `size_bytes`: None if not readable."""

    at: datetime
    open_streams: int
    instances: Mapping[str, int]
    jobs_queued: int
    jobs_running: int
    version: str
    size_bytes: int | None
    connections: int
    max_connections: int


@dataclass(frozen=True, slots=True)
class LivingProcess:
    process: str
    version: str | None


class MetricsHistory:
    """Raises Unavailable."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def record(self, now: datetime | None = None) -> bool:
        """Record the last minute that is over, unless another process has. Delete what is older than a day.

        `now`: that of the database, if it is not given.
        """
        async with translated():
            written = await self._pool.fetchval(*_SQL["record"].bind(now=now, settle=SETTLE))
        return written is not None

    async def list(self, since: datetime) -> Sequence[Minute]:
        """The minutes from `since` on, the oldest first."""
        async with translated():
            rows = await self._pool.fetch(*_SQL["list"].bind(since=since))
        return [_minute(dict(row)) for row in rows]

    async def read_now(self) -> Now:
        async with translated():
            row = await self._pool.fetchrow(*_SQL["read_now"].bind())
        given: dict[str, Any] = dict(row or {})
        return Now(**given | {"instances": from_json(given["instances"])})

    async def list_processes(self) -> Sequence[LivingProcess]:
        async with translated():
            rows = await self._pool.fetch(*_SQL["list_processes"].bind())
        return [LivingProcess(**row) for row in rows]


def _minute(given: dict[str, Any]) -> Minute:
    return Minute(**given | {"instances": from_json(given["instances"])})
