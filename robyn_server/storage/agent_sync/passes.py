"""The latest passes of agent sync, in the table `agent_sync_passes` that all replicas share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from robyn_server.storage.postgres.errors import translated
from robyn_server.storage.postgres.pools import Connection, Pool
from robyn_server.storage.postgres.queries import load

_SQL = load("agent_sync/passes")
KEPT_PASSES = 20
"""Of each scope."""

KEPT_SCOPES = 20


@dataclass(frozen=True, slots=True)
class PassRecord:
    """A pass: `counters` if it succeeded, else `failure`. `replica`: host and process. Times are the database's."""

    scope: str
    replica: str
    started_at: datetime
    finished_at: datetime
    seconds: float
    counters: dict[str, int] | None = None
    failure: str | None = None


class AgentSyncPasses:
    """`pool` works as agenthall_system. Raises Unavailable."""

    def __init__(self, pool: Pool | Connection) -> None:
        self._pool = pool

    async def record(
        self,
        scope: str,
        replica: str,
        started_at: datetime,
        seconds: float,
        *,
        counters: dict[str, int] | None,
        failure: str | None,
    ) -> None:
        """Record a pass. Delete passes beyond KEPT_PASSES of its scope, and scopes beyond KEPT_SCOPES."""
        text = None if counters is None else orjson.dumps(counters).decode()
        async with translated():
            await self._pool.execute(
                *_SQL["record"].bind(
                    scope=scope,
                    replica=replica,
                    started_at=started_at,
                    seconds=seconds,
                    counters=text,
                    failure=failure,
                    kept_passes=KEPT_PASSES,
                    kept_scopes=KEPT_SCOPES,
                )
            )

    async def latest(self, of_each_scope: int = 1) -> list[PassRecord]:
        """The latest passes of each scope. The scope of the latest pass comes first."""
        async with translated():
            rows = await self._pool.fetch(*_SQL["latest"].bind(of_each_scope=of_each_scope))
        return [_record(row) for row in rows]


def describe_pass(record: PassRecord) -> str:
    """Describe a pass in one line."""
    result = record.failure or ", ".join(f"{count} {name}" for name, count in (record.counters or {}).items())
    when = f"{record.finished_at:%Y-%m-%d %H:%M:%S %Z}"
    failed = "failed: " if record.failure else ""
    return f"scope {record.scope}: {when} by {record.replica} in {record.seconds:.2f} s: {failed}{result}"


def _record(row: Any) -> PassRecord:
    counters = None if row["counters"] is None else orjson.loads(row["counters"])
    return PassRecord(
        row["scope"],
        row["replica"],
        row["started_at"],
        row["finished_at"],
        row["seconds"],
        counters,
        row["failure"],
    )
