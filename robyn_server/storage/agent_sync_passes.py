"""The last passes of agent sync, in table `agent_sync_passes`: shared by all replicas, on this database's clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from .database import Connection, Pool
from .errors import translated
from .queries import load

_SQL = load("agent_sync")
KEPT = 20
"""Passes of one scope."""

MOST_SCOPES = 20


@dataclass(frozen=True, slots=True)
class PassRecord:
    """`counters` of one that ended well, `failure` of one that did not. `replica`: host and process. Times: this database's clock."""

    scope: str
    replica: str
    started_at: datetime
    finished_at: datetime
    seconds: float
    counters: dict[str, int] | None = None
    failure: str | None = None


class AgentSyncPasses:
    """`pool`, or a connection, works as agenthall_system. Raises Unavailable when the database is away."""

    def __init__(self, pool: Pool | Connection) -> None:
        self._pool = pool

    async def note(
        self,
        scope: str,
        replica: str,
        started_at: datetime,
        seconds: float,
        *,
        counters: dict[str, int] | None,
        failure: str | None,
    ) -> None:
        """Keeps this pass and forgets the oldest of its scope, and the scope that nobody has synced for longest."""
        text = None if counters is None else orjson.dumps(counters).decode()
        async with translated():
            await self._pool.execute(
                _SQL["note_pass"], scope, replica, started_at, seconds, text, failure, KEPT, MOST_SCOPES
            )

    async def last(self, of_each_scope: int = 1) -> list[PassRecord]:
        """The latest of each scope, the scope of the latest first."""
        async with translated():
            rows = await self._pool.fetch(_SQL["last_passes"], of_each_scope)
        return [_record(row) for row in rows]


def told_pass(record: PassRecord) -> str:
    """One line for people."""
    ended = record.failure or ", ".join(f"{count} {name}" for name, count in (record.counters or {}).items())
    when = f"{record.finished_at:%Y-%m-%d %H:%M:%S %Z}"
    failed = "failed: " if record.failure else ""
    return f"scope {record.scope}: {when} by {record.replica} in {record.seconds:.2f} s: {failed}{ended}"


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
