"""The outcomes of one sync: counted, logged, and recorded in the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from robyn_server.agent_sync.store import SyncStore
from robyn_server.core.catalogue.fields import SyncAction, SyncOutcome

from .sync_log import SyncLog

_COUNTERS = (SyncAction.CREATED, SyncAction.UPDATED, SyncAction.SKIPPED, SyncAction.FAILED)


class SyncRecorder:
    def __init__(self, store: SyncStore, log: SyncLog) -> None:
        self.counts: Counter[SyncAction] = Counter()
        self._store = store
        self._log = log

    async def record(self, outcomes: Sequence[SyncOutcome]) -> None:
        """Count `outcomes`, log the failures among them, and write them all to the ledger."""
        self.counts.update(outcome.action for outcome in outcomes)
        for outcome in outcomes:
            if outcome.failure is not None:
                self._log.failed(outcome)
        if outcomes:
            await self._store.record(outcomes)

    async def record_pending(self, outcomes: Sequence[SyncOutcome]) -> None:
        """Write to the ledger that the write-backs of these agents, which are counted already, are pending."""
        if outcomes:
            await self._store.record(outcomes)

    def counters(self) -> dict[str, int]:
        """{total, created, updated, skipped, failed}."""
        return {"total": self.counts.total(), **{str(action): self.counts[action] for action in _COUNTERS}}
