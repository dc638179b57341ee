"""Use cases of threads. Their state comes from the checkpointer and is read only on request."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from robyn_server.core.access.principal import Principal
from robyn_server.core.access.server_keys import without_internal_keys
from robyn_server.core.errors import BadRequest, Conflict, NotFound, Unavailable
from robyn_server.core.ids import new_id
from robyn_server.core.page import Page
from robyn_server.core.runs import ThreadStatus
from robyn_server.core.threads.state_select import StateSelect
from robyn_server.core.ttl import PruneStrategy, ThreadTtl
from robyn_server.graphs.state_updates import NodeUpdate, StateUpdate
from robyn_server.graphs.thread_states import ThreadStates
from robyn_server.storage.threads import LockedThread, ThreadFilter, ThreadGraph, Threads

_CLEANUP_SECONDS = 5


class ThreadService:
    def __init__(self, threads: Threads, states: ThreadStates) -> None:
        self._threads = threads
        self._states = states

    async def create(
        self,
        principal: Principal,
        thread_id: UUID | None,
        metadata: dict[str, Any],
        if_exists: str,
        ttl: ThreadTtl | None = None,
        supersteps: Sequence[Sequence[NodeUpdate]] = (),
    ) -> str:
        """Return the thread as JSON text. Raises Conflict when the id is taken, unless `if_exists` is do_nothing and
        the principal owns it.

        A new thread gets the states of `supersteps`. Raises BadRequest, and creates none, if its graph refuses them.
        """
        wanted = thread_id or new_id()
        graph_id = _graph_to_update(metadata) if supersteps else ""
        body = await self._threads.create(
            principal, wanted, without_internal_keys(metadata), principal.organization_for_new(), ttl
        )
        if body is not None and supersteps:
            await self._apply(principal, wanted, graph_id, supersteps)
            return await self.get(principal, wanted)
        if body is None and if_exists == "do_nothing":
            body = await self._threads.find(principal, wanted)
        if body is None:
            raise Conflict(f"Thread with ID {wanted} already exists", field="thread_id")
        return body

    async def get(self, principal: Principal, thread_id: UUID, *, with_ttl: bool = False) -> str:
        find = self._threads.find_with_ttl if with_ttl else self._threads.find
        body = await find(principal, thread_id)
        if body is None:
            raise _missing(thread_id)
        return body

    async def storage(self, principal: Principal, thread_id: UUID) -> str:
        """Return the bytes that the states of a thread take, as JSON text. Raises NotFound."""
        body = await self._threads.find_storage(principal, thread_id)
        if body is None:
            raise _missing(thread_id)
        return body

    async def update(
        self, principal: Principal, thread_id: UUID, metadata: dict[str, Any], ttl: ThreadTtl | None
    ) -> str:
        """Merge metadata, and start a new ttl if one is given. Raises NotFound."""
        body = await self._threads.update(principal, thread_id, without_internal_keys(metadata), ttl)
        if body is None:
            raise NotFound("Not Found")
        return body

    async def delete(self, principal: Principal, thread_id: UUID) -> None:
        """Delete the thread with its runs (a running one is stopped) and its checkpoints. Raises NotFound."""
        if not await self._threads.delete(principal, thread_id):
            raise _missing(thread_id)

    async def prune(self, principal: Principal, thread_ids: Iterable[UUID], strategy: PruneStrategy) -> int:
        """Delete threads, or all their states but the latest. Return how many.

        Threads that are missing, and those with a pending or running run, are left out. Each thread is a transaction of
        its
        own: a request that takes too long has pruned some, and can be repeated.
        """
        return sum([await self._threads.prune(principal, each, strategy) for each in sorted(set(thread_ids))])

    async def copy(self, principal: Principal, thread_id: UUID, metadata: Mapping[str, Any] | None = None) -> str:
        """Copy the thread with its state and history, and return the copy as JSON text. Raises NotFound.

        `metadata`: merged into that of the copy.
        """
        body = await self._threads.copy(principal, thread_id, new_id(), without_internal_keys(metadata or {}))
        if body is None:
            raise _missing(thread_id)
        return body

    async def count(self, principal: Principal, where: ThreadFilter) -> int:
        return await self._threads.count(principal, where)

    async def search(self, principal: Principal, where: ThreadFilter, **page: Any) -> Page:
        return await self._threads.search(principal, where, **page)

    async def state(
        self,
        principal: Principal,
        thread_id: UUID,
        *,
        checkpoint: Mapping[str, Any] | None,
        subgraphs: bool,
        select: StateSelect | None = None,
    ) -> bytes:
        """A ThreadState, or its selected parts, as JSON."""
        found = await self._graph(principal, thread_id)
        if found.graph_id is None:
            return self._states.empty_state(select)
        return await self._states.state(
            found.graph_id, found.configurable, thread_id, checkpoint=checkpoint, subgraphs=subgraphs, select=select
        )

    async def update_state(
        self,
        principal: Principal,
        thread_id: UUID,
        values: Any,
        *,
        as_node: str | None,
        checkpoint: Mapping[str, Any] | None,
    ) -> dict[str, Any]:
        """Write a checkpoint as `as_node` would have, and return it.

        Raises NotFound, BadRequest, and Conflict beside a run.
        """
        async with self._threads.lock(principal, thread_id) as thread:
            if thread is None:
                raise _missing(thread_id)
            graph_id = thread.graph.graph_id
            if graph_id is None:
                raise _without_graph(thread_id)
            if thread.is_busy:
                raise Conflict(
                    "Thread is busy with a running job. Cannot update state.", code="thread_busy", field="thread_id"
                )
            update = await self._states.update(
                graph_id,
                thread.graph.configurable,
                thread_id,
                values,
                as_node=as_node,
                checkpoint=checkpoint,
                metadata={"graph_id": graph_id, "user_id": principal.identity},
            )
            await _set_state(thread, update)
        return {
            "checkpoint": update.checkpoint,
            "configurable": update.checkpoint,
            "checkpoint_id": update.checkpoint["checkpoint_id"],
        }

    async def _apply(
        self, principal: Principal, thread_id: UUID, graph_id: str, supersteps: Sequence[Sequence[NodeUpdate]]
    ) -> None:
        """Write the states of a new thread.

        If that fails, also because the request takes too long, delete the thread.
        """
        try:
            async with self._threads.lock(principal, thread_id) as thread:
                metadata = {"graph_id": graph_id, "user_id": principal.identity}
                created = _unused(thread, thread_id)
                await _set_state(created, await self._states.apply(graph_id, thread_id, supersteps, metadata=metadata))
        except BaseException:
            with suppress(Unavailable, TimeoutError):
                async with asyncio.timeout(_CLEANUP_SECONDS):
                    await self._threads.delete(principal, thread_id)
            raise

    async def history(self, principal: Principal, thread_id: UUID, **options: Any) -> bytes:
        found = await self._graph(principal, thread_id)
        if found.graph_id is None:
            return b"[]"
        return await self._states.history(found.graph_id, found.configurable, thread_id, **options)

    async def _graph(self, principal: Principal, thread_id: UUID) -> ThreadGraph:
        found = await self._threads.find_graph(principal, thread_id)
        if found is None:
            raise _missing(thread_id)
        return found


async def _set_state(thread: LockedThread, update: StateUpdate) -> None:
    status = ThreadStatus.INTERRUPTED if update.is_waiting else ThreadStatus.IDLE
    await thread.set_state(update.values, status, update.interrupts)


def _unused(thread: LockedThread | None, thread_id: UUID) -> LockedThread:
    """Raises NotFound and Conflict if somebody deleted or used the thread before its states were written."""
    if thread is None:
        raise _missing(thread_id)
    if thread.is_busy:
        raise Conflict("The thread was used before its supersteps were written.", code="thread_busy", field="thread_id")
    return thread


def _graph_to_update(metadata: Mapping[str, Any]) -> str:
    graph_id = metadata.get("graph_id")
    if not isinstance(graph_id, str):
        raise BadRequest("supersteps: name the graph as `graph_id` in the thread's metadata.", field="supersteps")
    return graph_id


def _without_graph(thread_id: UUID) -> BadRequest:
    return BadRequest(
        f"Thread '{thread_id}' has no assigned graph ID. Run something on it, or set `graph_id` in its metadata, before"
        " this operation.",
        field="thread_id",
    )


def _missing(thread_id: UUID) -> NotFound:
    return NotFound(f"Thread with ID {thread_id} not found")
