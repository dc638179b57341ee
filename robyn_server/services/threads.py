"""Use cases of threads. Their state comes from the checkpointer, which is asked only when somebody wants to know."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, Protocol
from uuid import UUID

from robyn_server.core.errors import Conflict, NotFound
from robyn_server.core.ids import new_id
from robyn_server.core.page import Page
from robyn_server.core.principal import Principal
from robyn_server.storage.threads import ThreadFilter, ThreadGraph, Threads


class StateReader(Protocol):
    """Reads checkpoints; importing what that takes is its own affair. Answers are JSON text."""

    def state(
        self, graph_id: str, configurable: Mapping[str, Any], thread_id: UUID, **options: Any
    ) -> Awaitable[bytes]: ...

    def history(
        self, graph_id: str, configurable: Mapping[str, Any], thread_id: UUID, **options: Any
    ) -> Awaitable[bytes]: ...

    def empty_state(self) -> bytes: ...


class ThreadService:
    def __init__(self, threads: Threads, states: StateReader) -> None:
        self._threads = threads
        self._states = states

    async def create(
        self, principal: Principal, thread_id: UUID | None, metadata: dict[str, Any], if_exists: str
    ) -> str:
        """The thread as JSON text. Raises Conflict when the id is taken, unless `if_exists` is do_nothing and it is one's own."""
        wanted = thread_id or new_id()
        body = await self._threads.create(principal, wanted, metadata, principal.organization_for_new())
        if body is None and if_exists == "do_nothing":
            body = await self._threads.find(principal, wanted)
        if body is None:
            raise Conflict(f"Thread with ID {wanted} already exists", field="thread_id")
        return body

    async def get(self, principal: Principal, thread_id: UUID) -> str:
        body = await self._threads.find(principal, thread_id)
        if body is None:
            raise _missing(thread_id)
        return body

    async def merge_metadata(self, principal: Principal, thread_id: UUID, metadata: dict[str, Any]) -> str:
        body = await self._threads.merge_metadata(principal, thread_id, metadata)
        if body is None:
            raise NotFound("Not Found")
        return body

    async def delete(self, principal: Principal, thread_id: UUID) -> None:
        """Removes the thread with its runs (one that is running is stopped) and its checkpoints."""
        if not await self._threads.delete(principal, thread_id):
            raise _missing(thread_id)

    async def search(self, principal: Principal, where: ThreadFilter, **page: Any) -> Page:
        return await self._threads.search(principal, where, **page)

    async def state(
        self, principal: Principal, thread_id: UUID, *, checkpoint: Mapping[str, Any] | None, subgraphs: bool
    ) -> bytes:
        found = await self._graph(principal, thread_id)
        if found.graph_id is None:
            return self._states.empty_state()
        return await self._states.state(
            found.graph_id, found.configurable, thread_id, checkpoint=checkpoint, subgraphs=subgraphs
        )

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


def _missing(thread_id: UUID) -> NotFound:
    return NotFound(f"Thread with ID {thread_id} not found")
