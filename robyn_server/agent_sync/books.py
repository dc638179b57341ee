"""What became of the agents of one sync: counted, told in the log, and noted in the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

import structlog

from robyn_server.core.catalogue import SyncAction, SyncOutcome

from .protocols import AgentSyncLedgerProtocol
from .write_back import log_write_back_failure

LOGGED_FAILURES = 20
"""Lines of reasons in the log of one sync; the ledger has them all."""

_COUNTERS = (SyncAction.CREATED, SyncAction.UPDATED, SyncAction.SKIPPED, SyncAction.FAILED)
_log = structlog.get_logger(__name__)


class Books:
    def __init__(self, ledger: AgentSyncLedgerProtocol) -> None:
        self.counts: Counter[SyncAction] = Counter()
        self._ledger = ledger
        self._logged = 0

    async def note(self, outcomes: Sequence[SyncOutcome]) -> None:
        """Counts `outcomes`, tells the failures among them, and writes them all down."""
        self.counts.update(outcome.action for outcome in outcomes)
        for outcome in outcomes:
            if outcome.failure is not None and self._may_log():
                _log.warning("agent sync failed", agent_id=str(outcome.agent_id), reason=outcome.failure)
        if outcomes:
            await self._ledger.record(outcomes)

    async def note_owed(self, outcomes: Sequence[SyncOutcome]) -> None:
        """Writes down that these, which are counted already, are owed a write-back."""
        if outcomes:
            await self._ledger.record(outcomes)

    def tell_owed(self, agent_id: UUID, reason: str) -> None:
        if self._may_log():
            log_write_back_failure(agent_id, reason)

    def counters(self) -> dict[str, int]:
        """{total, created, updated, skipped, failed}."""
        return {"total": self.counts.total(), **{str(action): self.counts[action] for action in _COUNTERS}}

    def _may_log(self) -> bool:
        self._logged += 1
        if self._logged == LOGGED_FAILURES + 1:
            _log.warning("agent sync: further failures are only in the ledger")
        return self._logged <= LOGGED_FAILURES
