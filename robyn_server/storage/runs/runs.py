"""Runs as a principal sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any
from uuid import UUID

import asyncpg

from robyn_server.core.access.principal import Principal
from robyn_server.core.queue.headroom import PendingHeadroom
from robyn_server.core.queue.limits import ANY_PENDING, PendingLimits
from robyn_server.core.runs import EventTransport
from robyn_server.core.trace_context import TraceContext
from robyn_server.storage.postgres.errors import translated
from robyn_server.storage.postgres.json import json_array, to_json
from robyn_server.storage.postgres.pools import Connection, Pool, acting, transaction
from robyn_server.storage.postgres.queries import Bound, Query, load, load_templates
from robyn_server.storage.postgres.search import depth

FIELDS = (
    "run_id",
    "thread_id",
    "assistant_id",
    "metadata",
    "status",
    "kwargs",
    "multitask_strategy",
    "created_at",
    "updated_at",
    "langsmith_session_name",
    "cancel_reason",
)
CANCELLED = "cancelled by a client"
"""Why a run is cancelled, unless the caller knows it better."""

_SQL = load("runs/runs")
_TEMPLATES = load_templates("runs/runs")


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run to enqueue.

    `new_thread`: reject (the thread must exist), create, or ephemeral (created for this run and deleted with it unless
    `keep_thread`). `new_metadata`: of a thread that is created.
    """

    run_id: UUID
    thread_id: UUID
    new_thread: str
    keep_thread: bool
    organization_id: UUID | None
    assistant_id: UUID
    assistant_version: int
    graph_id: str
    assistant_metadata: dict[str, Any]
    metadata: dict[str, Any]
    kwargs: dict[str, Any]
    thread_config: dict[str, Any]
    multitask_strategy: str
    resumable: bool
    after: timedelta
    max_attempts: int
    new_metadata: dict[str, Any] = field(default_factory=dict)
    event_transport: EventTransport = EventTransport.POSTGRES
    trace: TraceContext | None = None
    credential: bytes | None = field(default=None, repr=False)
    """The token of the caller, encrypted, if an MCP server of the run needs it."""


@dataclass(frozen=True, slots=True)
class FoundRun:
    run_id: UUID
    thread_id: UUID
    status: str
    resumable: bool
    event_transport: EventTransport


_MARGIN, _EVERY = 64, 2**30
"""Transactions that come closer to a limit than this wait for each other; a server has fewer at a time. Those with a
batch always wait, because others do not see how many runs they add."""


class Runs:
    """Runs as a principal sees them. `limits`: of the runs that wait in the queue."""

    def __init__(self, pool: Pool, limits: PendingLimits = ANY_PENDING) -> None:
        self._pool = pool
        self._limits = limits
        self._headroom = PendingHeadroom()

    async def enqueue(self, principal: Principal, new: NewRun) -> tuple[str, str | None]:
        """Enqueue a run.

        Return the outcome (`enqueued`, `busy`, `thread_missing`) and the enqueued run as JSON text. Raises TooMany.
        """
        keys = (principal.identity, new.organization_id)
        is_counted = bool(self._limits) and not self._headroom.take(keys)
        query = _enqueue(principal, new, self._limits if is_counted else ANY_PENDING)
        if new.credential is None:
            async with translated():
                row = await self._pool.fetchrow(*query)
        else:
            async with transaction(self._pool) as connection:
                row = await _enqueue_with_credential(connection, query, new)
        assert row is not None  # noqa: S101 - the function has OUT parameters: always one row
        if is_counted:
            self._headroom.record(keys, row["left_over"])
        return row["outcome"], row["body"]

    async def enqueue_batch(self, principal: Principal, batch: Sequence[NewRun]) -> Sequence[str]:
        """Enqueue runs without a thread, all or none. Return them as JSON text. Raises TooMany."""
        self._headroom.record(
            [principal.identity, *{new.organization_id for new in batch}], 0
        )  # the batch may use it up
        async with transaction(self._pool) as connection:
            return [
                (
                    await _enqueue_with_credential(
                        connection, _enqueue(principal, new, self._limits, of_batch=True), new
                    )
                )["body"]
                for new in batch
            ]

    async def find(self, principal: Principal, thread_id: UUID, run_id: UUID) -> str | None:
        async with translated():
            query = _SQL["find"].bind(**acting(principal), thread_id=thread_id, run_id=run_id)
            body: str | None = await self._pool.fetchval(*query)
        return body

    async def find_to_follow(self, principal: Principal, thread_id: UUID | None, run_id: UUID) -> FoundRun | None:
        async with translated():
            query = _SQL["find_to_follow"].bind(**acting(principal), thread_id=thread_id, run_id=run_id)
            row = await self._pool.fetchrow(*query)
        return None if row is None else _found(row)

    async def list(
        self,
        principal: Principal,
        thread_id: UUID,
        *,
        status: str | None,
        limit: int,
        offset: int,
        select: Sequence[str] | None,
    ) -> str:
        """List the thread's runs, newest first, as a JSON array. Raises TooLarge."""
        filters = {} if status is None else {"status": status}
        query = _list(status is not None, depth(offset + limit)).bind(
            **acting(principal),
            **filters,
            thread_id=thread_id,
            limit=limit,
            offset=offset,
            fields=select,
        )
        async with translated():
            return json_array(await self._pool.fetchval(*query))

    async def cancel(
        self, principal: Principal, thread_id: UUID, run_id: UUID, action: str, reason: str = CANCELLED
    ) -> str:
        """Ask for cancellation. Return what the run was: `missing`, `pending`, `running` or `ended`.

        `action`: interrupt or rollback. `reason`: the run shows it.
        """
        query = _SQL["cancel"].bind(
            **acting(principal), thread_id=thread_id, run_id=run_id, action=action, reason=reason
        )
        async with translated():
            found: str = await self._pool.fetchval(*query)
        return found

    async def list_active(
        self, principal: Principal, status: str, after: UUID, limit: int
    ) -> Sequence[tuple[UUID, UUID]]:
        """The principal's own runs that are `pending` or `running`: (thread, run), by the run's id."""
        query = _SQL["list_active"].bind(**acting(principal), status=status, after=after, limit=limit)
        async with translated():
            return [(row["thread_id"], row["run_id"]) for row in await self._pool.fetch(*query)]

    async def delete(self, principal: Principal, thread_id: UUID, run_id: UUID) -> bool:
        """Delete a run, which ends first if it has not ended. Return whether there was one."""
        async with translated():
            query = _SQL["delete"].bind(**acting(principal), thread_id=thread_id, run_id=run_id)
            deleted: bool = await self._pool.fetchval(*query)
        return deleted


async def _enqueue_with_credential(connection: Connection, query: Bound, new: NewRun) -> asyncpg.Record:
    """Within a transaction: no worker claims the run before its credential is there."""
    row = await connection.fetchrow(*query)
    assert row is not None  # noqa: S101 - the function has OUT parameters: always one row
    if row["body"] is not None and new.credential is not None:
        await connection.execute(*_SQL["enqueue_with_credential"].bind(run_id=new.run_id, sealed=new.credential))
    return row


def _enqueue(principal: Principal, new: NewRun, limits: PendingLimits, *, of_batch: bool = False) -> Bound:
    query = _SQL["enqueue_limited"] if limits else _SQL["enqueue"]
    given = {"margin": _EVERY if of_batch else _MARGIN, **asdict(limits)} if limits else {}
    return query.bind(
        **given,
        **acting(principal),
        auth=principal.auth,
        new_metadata=to_json(new.new_metadata),
        run_id=new.run_id,
        thread_id=new.thread_id,
        new_thread=new.new_thread,
        keep_thread=new.keep_thread,
        organization_id=new.organization_id,
        assistant_id=new.assistant_id,
        assistant_version=new.assistant_version,
        graph_id=new.graph_id,
        assistant_metadata=to_json(new.assistant_metadata),
        metadata=to_json(new.metadata),
        kwargs=to_json(new.kwargs),
        thread_config=to_json(new.thread_config),
        multitask_strategy=new.multitask_strategy,
        resumable=new.resumable,
        after=new.after,
        max_attempts=new.max_attempts,
        event_transport=new.event_transport,
        traceparent=None if new.trace is None else new.trace.traceparent,
        tracestate=None if new.trace is None else new.trace.tracestate,
    )


@cache
def _list(has_status: bool, depth: str) -> Query:
    of = "of_thread_and_status" if has_status else "of_thread"
    return _TEMPLATES["list"].compose(of=of, index=f"index_{of}", depth=depth)


def _found(row: Any) -> FoundRun:
    transport = EventTransport(row["event_transport"])
    return FoundRun(row["run_id"], row["thread_id"], row["status"], row["resumable"], transport)
