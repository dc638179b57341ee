"""Jobs as an organization's operators see them. Works as agenthall_app."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import UUID

from robyn_server.core.registry.job_filter import JobFilter
from robyn_server.core.registry.jobs import JobState
from robyn_server.storage.postgres.errors import translated
from robyn_server.storage.postgres.pools import Pool
from robyn_server.storage.postgres.queries import Bound, Query, load, load_templates

_SQL = load("registry/jobs/lists")
_TEMPLATES = load_templates("registry/jobs/lists")
_UNSUCCESSFUL = frozenset({JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED})
_LATEST = (datetime.max.replace(tzinfo=UTC), UUID(int=2**128 - 1))
_KEYS = ("run_id", "thread_id")


@dataclass(frozen=True, slots=True)
class JobPage:
    """`bodies`: JSON texts, the newest job first. `after`: time and id of the last one, when there are more."""

    bodies: list[str]
    after: tuple[datetime, UUID] | None


class JobLists:
    """Raises Unavailable, TooLarge."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def search(
        self, organization_id: UUID, job_filter: JobFilter, *, after: tuple[datetime, UUID] | None, limit: int
    ) -> JobPage:
        named, state = job_filter.given(), job_filter.state
        after_at, after_id = after or _LATEST
        position = {"organization_id": organization_id, "after_at": after_at, "after_id": after_id, "limit": limit + 1}
        if "registration_id" in named and named.keys().isdisjoint(_KEYS):
            states = list(JobState) if state is None else [state]
            query = _SQL["search_by_instance"].bind(
                **position, registration_id=job_filter.registration_id, states=states
            )
        else:
            query = _search(tuple(named), state).bind(**position, **named)
        async with translated():
            rows = await self._pool.fetch(*query)
        last = rows[limit - 1] if len(rows) > limit else None
        return JobPage(
            [row["body"] for row in rows[:limit]], None if last is None else (last["created_at"], last["id"])
        )

    async def find(self, organization_id: UUID, job_id: UUID) -> str | None:
        """The job with its offers, as JSON text."""
        return await self._value(_SQL["find"].bind(organization_id=organization_id, job_id=job_id))

    async def find_agent_id(self, organization_id: UUID, job_id: UUID) -> str | None:
        return await self._value(_SQL["find_agent_id"].bind(organization_id=organization_id, job_id=job_id))

    async def _value(self, query: Bound) -> str | None:
        async with translated():
            value: Any = await self._pool.fetchval(*query)
        return None if value is None else str(value)


@cache
def _search(names: tuple[str, ...], state: JobState | None) -> Query:
    """The search with the given filters."""
    filters = [_state(state) if name == "state" and state is not None else name for name in names]
    key = next((name for name in _KEYS if name in names), None)
    if key is None:
        return _TEMPLATES["search"].compose(filters=filters)
    filters.remove(key)
    return _TEMPLATES["search_by_key"].compose(key=key, filters=filters)


def _state(state: JobState) -> str:
    """The condition on the state that an index has."""
    if state in _UNSUCCESSFUL:
        return "unsuccessful_state"
    return "state" if state is JobState.SUCCEEDED else "open_state"
