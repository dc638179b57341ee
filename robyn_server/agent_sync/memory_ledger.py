"""The books of a storage that keeps none: in this process, for as long as it lives."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

from robyn_server.core.catalogue import SyncAction, SyncOutcome

from .protocols import AgentSyncLedgerProtocol, is_ledger

WELL = frozenset({SyncAction.CREATED, SyncAction.UPDATED, SyncAction.SKIPPED})


class MemoryLedger:
    """Of an agent that it has not seen it believes the assistant's own `synced_at`."""

    def __init__(self) -> None:
        self._lines: dict[UUID, tuple[float, SyncAction]] = {}
        self._owed: dict[UUID, UUID] = {}

    async def fresh(self, agent_id: UUID, ttl: timedelta, *, synced_at: datetime | None = None) -> bool:
        if agent_id not in self._lines:
            # either side of now: a clock that runs ahead must not keep an agent fresh for ever
            return synced_at is not None and abs(datetime.now(UTC) - synced_at) < ttl
        checked_at, action = self._lines[agent_id]
        return action in WELL and time.monotonic() - checked_at < ttl.total_seconds()

    async def record(self, outcomes: Sequence[SyncOutcome]) -> None:
        now = time.monotonic()
        for outcome in outcomes:
            if outcome.action is SyncAction.MISSING and outcome.agent_id not in self._lines:
                continue
            self._lines[outcome.agent_id] = (now, outcome.action)
            if outcome.write_back_pending and outcome.assistant_id is not None:
                self._owed[outcome.agent_id] = outcome.assistant_id
            elif outcome.action in WELL:
                self._owed.pop(outcome.agent_id, None)

    async def pending_write_backs(self, limit: int) -> Sequence[tuple[UUID, UUID]]:
        present = [pair for pair in self._owed.items() if self._lines[pair[0]][1] is not SyncAction.MISSING]
        return present[:limit]

    async def written_back(self, agent_ids: Sequence[UUID]) -> None:
        for agent_id in agent_ids:
            self._owed.pop(agent_id, None)


_LEDGERS: WeakKeyDictionary[Any, MemoryLedger] = WeakKeyDictionary()


def ledger_of(storage: Any) -> AgentSyncLedgerProtocol:
    """The storage's own ledger; else one in memory that lives as long as its `assistants`."""
    own = getattr(storage, "ledger", None)
    if is_ledger(own):
        return own
    try:
        return _LEDGERS.setdefault(storage.assistants, MemoryLedger())
    except TypeError:  # unhashable, or without weak references: then only `synced_at` tells
        return MemoryLedger()
