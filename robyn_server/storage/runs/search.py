"""Runs of all threads, as a principal may see them, with their times. Works as agenthall_app."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import asyncpg

from robyn_server.core.access.principal import Principal
from robyn_server.core.runs import EventTransport, RunStatus
from robyn_server.storage.postgres.errors import translated
from robyn_server.storage.postgres.json import from_json
from robyn_server.storage.postgres.pools import Pool, acting
from robyn_server.storage.postgres.queries import Query, load, load_templates

_SQL = load("runs/search")
_TEMPLATES = load_templates("runs/search")
_BOUNDS = {"created_after": ("created_after", "ids_after"), "created_before": ("created_before", "ids_before")}


@dataclass(frozen=True, slots=True)
class RunFilter:
    """None matches everything. `created_after` is included, `created_before` is not."""

    status: RunStatus | None = None
    assistant_id: UUID | None = None
    thread_id: UUID | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None

    def values(self) -> dict[str, Any]:
        """The filters that are given, by their names in the SQL."""
        given = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True, slots=True)
class RunPage:
    """Runs as JSON text, the newest first. `after`: the run that the next page begins behind; None: no more."""

    bodies: Sequence[str]
    after: UUID | None


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as the database has it. `claims`: when each of its attempts was claimed.

    `frames`: of the user's code, where an error came from.
    """

    body: str
    status: RunStatus
    graph_id: str
    attempt: int
    claims: Sequence[datetime]
    due_at: datetime
    ended_at: datetime | None
    traceparent: str | None
    event_transport: EventTransport
    frames: Sequence[Mapping[str, Any]]


class RunSearch:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def search(self, principal: Principal, where: RunFilter, *, after: UUID | None, limit: int) -> RunPage:
        """A page looks at 5,000 runs at most, so it may have fewer than `limit` and still not be the last.

        Raises TooLarge.
        """
        values: Mapping[str, Any] = where.values()
        if after is not None:
            values = {**values, "cursor": after}
        query = _search(frozenset(values), principal.is_admin)
        async with translated():
            rows = await self._pool.fetch(*query.bind(**acting(principal), **values, last=limit + 1))
        return _page(rows, limit)

    async def find(self, principal: Principal, thread_id: UUID, run_id: UUID) -> RunRecord | None:
        query = _SQL["find"].bind(**acting(principal), thread_id=thread_id, run_id=run_id)
        async with translated():
            row = await self._pool.fetchrow(*query)
        return None if row is None else _record(row)


@cache
def _search(given: frozenset[str], is_admin: bool) -> Query:
    walked = "thread" if "thread_id" in given else "everything" if is_admin else "owner"
    bounds = [part for name, parts in _BOUNDS.items() if name in given for part in parts]
    return _TEMPLATES["search"].compose(
        path="everything" if walked == "everything" else f"by_{walked}",
        index=f"index_of_{walked}",
        bounds=bounds + (["cursor"] if "cursor" in given else []),
        filters=sorted(given & {"status", "assistant_id"}),
    )


def _page(rows: Sequence[asyncpg.Record], limit: int) -> RunPage:
    matching = [row for row in rows if row["is_match"]]
    if len(matching) > limit:
        return RunPage([row["body"] for row in matching[:limit]], matching[limit - 1]["run_id"])
    last = next((row for row in rows if row["is_cut"]), None)
    return RunPage([row["body"] for row in matching], None if last is None else last["run_id"])


def _record(row: asyncpg.Record) -> RunRecord:
    given = dict(row)
    given["status"] = RunStatus(given["status"])
    given["event_transport"] = EventTransport(given["event_transport"])
    given["frames"] = from_json(given["frames"]) or []
    return RunRecord(**given)
