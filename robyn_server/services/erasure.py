"""The use case of an erasure: delete all data of a user or an organization, and report what was deleted.

Rules
  1. Connections to MCP servers are revoked at their authorization servers, as far as these answer. Then credentials
     go, so that nothing new is written with them. Then the runs of each thread are cancelled, and the thread goes with
     all that belongs to it.
  2. Each batch is a transaction of its own. Nobody waits for the erasure, and it goes on after an interruption.
  3. Rows that are written meanwhile are found by another pass. An erasure ends when nothing is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

from robyn_server.core.access.permissions import Operation, require
from robyn_server.core.access.principal import Principal
from robyn_server.core.erasure import Subject
from robyn_server.core.errors import Conflict
from robyn_server.core.ids import new_id
from robyn_server.storage.erasures import STEPS, THREAD_STEPS, Erasures, Step

MOST_PASSES = 5
STOP_SECONDS = 20.0
_LOOK_SECONDS = 0.2

DeleteEvents = Callable[[Sequence[UUID]], Awaitable[None]]
"""Deletes the events of runs that are not in the database."""

RevokeConnection = Callable[[str, UUID], Awaitable[None]]
"""Takes the owner and the id of a connection to an MCP server, and revokes its tokens at the authorization server."""


class ErasureService:
    """`delete_events`: for events in Redis; None: there are none. `stop_seconds`: how long cancelled runs may take."""

    def __init__(
        self,
        erasures: Erasures,
        delete_events: DeleteEvents | None = None,
        *,
        revoke: RevokeConnection | None = None,
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        self._erasures = erasures
        self._delete_events = delete_events
        self._revoke = revoke
        self._stop_seconds = stop_seconds

    async def count(self, principal: Principal, subject: Subject) -> dict[str, int]:
        """Count what an erasure would delete or change, by table. Raises Forbidden."""
        require(principal, Operation.DATA_ERASE)
        return await self._erasures.count_rows(subject)

    async def erase(self, principal: Principal, subject: Subject) -> dict[str, int]:
        """Erase, and return how many rows of each table. Raises Forbidden, Conflict if rows are still being written."""
        require(principal, Operation.DATA_ERASE)
        erasure_id = await self._erasures.start(subject, new_id(), by=principal)
        for _ in range(MOST_PASSES):
            await self._erase_once(subject, erasure_id)
            if not await self.count(principal, subject):
                while await self._erasures.hide_in_audit(erasure_id):
                    pass
                return await self._erasures.finish(erasure_id, by=principal)
        raise Conflict("Data of the subject are still being written. Take its credentials away, and erase again.")

    async def _erase_once(self, subject: Subject, erasure_id: UUID) -> None:
        await self._revoke_connections(subject)
        credentials, *others = STEPS[subject.type]
        await self._erase_step(credentials, subject, erasure_id)
        after: UUID | None = None
        while thread_ids := await self._erasures.list_threads(subject, after):
            await self._erase_threads(subject, erasure_id, thread_ids)
            after = thread_ids[-1]
        for step in others:
            await self._erase_step(step, subject, erasure_id)

    async def _revoke_connections(self, subject: Subject) -> None:
        """Before their rows go: after an interruption, the tokens of a row that is left are revoked again."""
        after: UUID | None = None
        while self._revoke is not None and (found := await self._erasures.list_connections(subject, after)):
            for owner_id, connection_id in found:
                await self._revoke(owner_id, connection_id)
            after = found[-1][1]

    async def _erase_threads(self, subject: Subject, erasure_id: UUID, thread_ids: Sequence[UUID]) -> None:
        await self._stop_runs(thread_ids)
        run_ids = await self._erasures.list_runs(thread_ids)
        for step in THREAD_STEPS:
            await self._erase_step(step, subject, erasure_id, thread_ids)
        if self._delete_events is not None and run_ids:
            await self._delete_events(run_ids)

    async def _stop_runs(self, thread_ids: Sequence[UUID]) -> None:
        """Cancel runs, and wait for their ends. A worker that does not stop is fenced when its run is deleted."""
        await self._erasures.stop_runs(thread_ids)
        waited = 0.0
        while waited < self._stop_seconds and await self._erasures.has_running(thread_ids):
            await asyncio.sleep(_LOOK_SECONDS)
            waited += _LOOK_SECONDS

    async def _erase_step(
        self, step: Step, subject: Subject, erasure_id: UUID, thread_ids: Sequence[UUID] | None = None
    ) -> None:
        while await self._erasures.erase_batch(step, subject, erasure_id, thread_ids):
            pass
