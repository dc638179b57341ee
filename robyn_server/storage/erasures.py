"""Erasures: the deletion of all data of a user or an organization. Works as agenthall_system.

`TABLES` says for each table how its rows of a subject are found. The migration says what a batch is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

from robyn_server.core.access.principal import Principal
from robyn_server.core.erasure import Subject, SubjectType

from .postgres.errors import translated
from .postgres.json import from_json
from .postgres.pools import Pool, attributed
from .postgres.queries import Bound, Query, load, load_templates

_SQL = load("erasures")
_TEMPLATES = load_templates("erasures")
_BATCH_SECONDS = 600
_USER, _ORGANIZATION = SubjectType.USER, SubjectType.ORGANIZATION
_FIRST = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Step:
    """The rows of one table. `rows`: the fragment that finds them. `change`: what replaces them; None: they go."""

    table: str
    key: str
    rows: str
    change: str | None = None


THREAD_STEPS = (
    Step("mcp.agent_job_events", "job_events", "rows_of_jobs"),
    Step("mcp.agent_job_offers", "job_offers", "rows_of_jobs"),
    Step("mcp.agent_jobs", "jobs", "rows_of_threads"),
    Step("agenthall.run_events", "run_events", "rows_of_runs"),
    Step("agenthall.run_undo", "run_undo", "rows_of_runs"),
    Step("agenthall.run_credentials", "run_credentials", "rows_of_runs"),
    Step("langgraph.checkpoint_writes", "checkpoint_writes", "rows_of_thread_texts"),
    Step("langgraph.checkpoint_blobs", "checkpoint_blobs", "rows_of_thread_texts"),
    Step("langgraph.checkpoints", "checkpoints", "rows_of_thread_texts"),
    Step("agenthall.runs", "runs", "rows_of_threads"),
    Step("agenthall.thread_words", "thread_words", "rows_of_threads"),
    Step("agenthall.threads", "threads", "rows_of_threads"),
)
"""Rows that belong to threads, in the order of their deletion."""

STEPS: dict[SubjectType, tuple[Step, ...]] = {
    _USER: (
        Step("agenthall.api_keys", "api_keys", "user_api_keys"),
        Step("agenthall.api_keys", "api_keys", "user_api_keys_made", "change_api_keys_made"),
        Step("agenthall.mcp_authorizations", "mcp_authorizations", "user_rows"),
        Step("agenthall.mcp_connections", "mcp_connections", "user_rows"),
        Step("agenthall.mcp_credentials", "mcp_credentials", "user_mcp_credentials", "change_mcp_credentials"),
        Step("agenthall.runs", "runs", "user_rows"),
        Step("agenthall.store_vectors", "store_vectors", "user_items"),
        Step("agenthall.store_items", "store_items", "user_items"),
        Step("agenthall.assistant_versions", "assistant_versions", "user_assistant_versions"),
        Step("agenthall.assistants", "assistants", "user_rows"),
        Step("mcp.agent_instances", "instances", "user_instances"),
        Step("mcp.agent_instances", "instances", "user_instances_cordoned", "change_instances_cordoned"),
        Step("mcp.agent_event_inbox", "event_inbox", "user_event_inbox"),
        Step("mcp.agent_events", "events", "user_events"),
    ),
    _ORGANIZATION: (
        Step("agenthall.api_keys", "api_keys", "organization_api_keys"),
        Step("agenthall.api_keys", "api_keys", "organization_api_keys_shared", "change_api_keys_shared"),
        Step("agenthall.mcp_authorizations", "mcp_authorizations", "organization_rows"),
        Step("agenthall.mcp_connections", "mcp_connections", "organization_rows"),
        Step("agenthall.mcp_credentials", "mcp_credentials", "organization_rows"),
        Step("agenthall.runs", "runs", "organization_rows"),
        Step("mcp.agent_job_events", "job_events", "tenant"),
        Step("mcp.agent_job_offers", "job_offers", "tenant"),
        Step("mcp.agent_jobs", "jobs", "tenant"),
        Step("mcp.agent_affinities", "affinities", "tenant"),
        Step("mcp.agent_brakes", "brakes", "tenant"),
        Step("mcp.agent_slots", "slots", "tenant"),
        Step("mcp.agent_search_terms", "search_terms", "tenant"),
        Step("mcp.agent_leases", "leases", "tenant"),
        Step("mcp.agent_instance_history", "instance_history", "organization_instances"),
        Step("mcp.agent_checks", "checks", "organization_instances"),
        Step("mcp.agent_job_counts", "job_counts", "organization_instances"),
        Step("mcp.agent_instances", "instances", "tenant"),
        Step("mcp.agent_configurations", "configurations", "tenant"),
        Step("mcp.agent_manifests", "manifests", "organization_manifests", "change_manifests"),
        Step("mcp.agent_event_inbox", "event_inbox", "tenant"),
        Step("mcp.agent_events", "events", "tenant"),
        Step("agenthall.agent_sync", "agent_sync", "organization_agent_sync"),
        Step("agenthall.assistant_versions", "assistant_versions", "organization_assistant_versions"),
        Step("agenthall.assistants", "assistants", "organization_rows"),
        Step("agenthall.agent_sync_passes", "agent_sync_passes", "organization_agent_sync_passes"),
    ),
}
"""Rows that do not belong to threads. Credentials come first, so that nothing new is written with them."""


class Erasures:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def start(self, subject: Subject, erasure_id: UUID, *, by: Principal) -> UUID:
        """Begin an erasure, or return the one of this subject that has not ended."""
        async with translated():
            started: UUID = await self._pool.fetchval(
                *_SQL["start"].bind(
                    **attributed(by),
                    erasure_id=erasure_id,
                    subject_type=subject.type,
                    subject=subject.id,
                    organization_id=subject.organization_id,
                )
            )
        return started

    async def finish(self, erasure_id: UUID, *, by: Principal) -> dict[str, int]:
        """Forget the subject, and return how many rows of each table were erased."""
        async with translated():
            counts = await self._pool.fetchval(*_SQL["finish"].bind(**attributed(by), erasure_id=erasure_id))
        return {name: int(count) for name, count in from_json(counts).items()}

    async def list_threads(self, subject: Subject, after: UUID | None) -> Sequence[UUID]:
        """The next threads of the subject, in the order of their ids."""
        query = _TEMPLATES["list_threads"].compose(whose=subject.type.value)
        async with translated():
            rows = await self._pool.fetch(*_bind(query, subject, after=after or _FIRST), timeout=_BATCH_SECONDS)
        return [row["thread_id"] for row in rows]

    async def list_connections(self, subject: Subject, after: UUID | None) -> Sequence[tuple[str, UUID]]:
        """The next connections of the subject to MCP servers, in the order of their ids: owner and id."""
        step = next(each for each in STEPS[subject.type] if each.table == "agenthall.mcp_connections")
        query = _TEMPLATES["list_connections"].compose(rows=step.rows)
        async with translated():
            rows = await self._pool.fetch(*_bind(query, subject, after=after or _FIRST))
        return [(row["owner_id"], row["connection_id"]) for row in rows]

    async def list_runs(self, thread_ids: Sequence[UUID]) -> Sequence[UUID]:
        async with translated():
            rows = await self._pool.fetch(*_SQL["list_runs"].bind(thread_ids=thread_ids))
        return [row["run_id"] for row in rows]

    async def stop_runs(self, thread_ids: Sequence[UUID]) -> None:
        """Cancel the runs of threads that have not ended, and the jobs that instances have for them."""
        async with translated():
            await self._pool.fetch(*_SQL["stop_runs"].bind(thread_ids=thread_ids))
            await self._pool.fetch(*_SQL["stop_runs_of_jobs"].bind(thread_ids=thread_ids))

    async def has_running(self, thread_ids: Sequence[UUID]) -> bool:
        async with translated():
            return bool(await self._pool.fetchval(*_SQL["has_running"].bind(thread_ids=thread_ids)))

    async def erase_batch(
        self, step: Step, subject: Subject, erasure_id: UUID, thread_ids: Sequence[UUID] | None = None
    ) -> int:
        """Erase at most 1,000 rows. Return how many. `thread_ids`: of a step of threads, which threads."""
        query = _batch(step, None if thread_ids is None else "chunk")
        bound = _bind(query, subject, erasure_id=erasure_id, thread_ids=thread_ids, name=step.table)
        async with translated():
            return int(await self._pool.fetchval(*bound, timeout=_BATCH_SECONDS))

    async def hide_in_audit(self, erasure_id: UUID) -> int:
        """Take the subject out of at most 1,000 entries of the audit trail. Return how many."""
        async with translated():
            return int(await self._pool.fetchval(*_SQL["hide_in_audit"].bind(erasure_id=erasure_id)))

    async def count_rows(self, subject: Subject) -> dict[str, int]:
        """Count what an erasure would delete or change, by table. Tables without such rows are left out."""
        steps: dict[str, list[Step]] = {}
        for step in (*THREAD_STEPS, *STEPS[subject.type]):
            steps.setdefault(step.table, []).append(step)
        counts = {table: await self._count(tuple(found), subject) for table, found in steps.items()}
        return {table: count for table, count in counts.items() if count}

    async def _count(self, steps: tuple[Step, ...], subject: Subject) -> int:
        query = _count_rows(steps, subject.type)
        async with translated():
            return int(await self._pool.fetchval(*_bind(query, subject), timeout=_BATCH_SECONDS))


@cache
def _batch(step: Step, whose: str | None) -> Query:
    parts = {"table": f"table_{step.key}", "rows": step.rows} | ({} if whose is None else {"whose": whose})
    return _delete_batch(parts) if step.change is None else _change_batch({**parts, "change": step.change})


def _delete_batch(parts: Mapping[str, str]) -> Query:
    return _TEMPLATES["delete_batch"].compose(**parts)


def _change_batch(parts: Mapping[str, str]) -> Query:
    return _TEMPLATES["change_batch"].compose(**parts)


@cache
def _count_rows(steps: tuple[Step, ...], subject_type: SubjectType) -> Query:
    """A table has one step or two, and a row may be in both."""
    parts = {"table": f"table_{steps[0].key}", "rows": steps[0].rows, "or_rows": steps[-1].rows}
    if any(step in THREAD_STEPS for step in steps):
        parts["whose"] = subject_type.value
    return _TEMPLATES["count_rows"].compose(**parts)


def _bind(query: Query, subject: Subject, **more: Any) -> Bound:
    """Bind those of the values that the statement has."""
    values = {"subject": subject.id, "organization_id": subject.organization_id, **more}
    return query.bind(**{name: values[name] for name in query.parameters})
