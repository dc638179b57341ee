"""The log of agent sync: one line for each agent that changed or failed, and nothing when nothing happened."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from uuid import UUID

import structlog

from robyn_server.core.catalogue.fields import SyncAction, SyncOutcome

LINES = 20
"""Changes of single agents, and failures, in the log of one sync.

The counters have all changes, the ledger all failures.
"""

MAX_FAILURES = 10_000
"""Reasons that are remembered, so that each is logged once."""

_log = structlog.get_logger(__name__)


class SyncLog:
    """The log of one sync, or of the syncs that a server repeats: then a failure is logged when it is new.

    `is_quiet`: of a dry run.
    """

    def __init__(self, *, is_quiet: bool = False) -> None:
        self._is_quiet = is_quiet
        self._changes = 0
        self._failures = 0
        self._reasons: OrderedDict[UUID, str] = OrderedDict()
        self._last: tuple[int, int] | None = None

    def begin(self) -> None:
        """Begin a sync: the next LINES changes and as many failures are written."""
        self._changes = self._failures = 0

    def changed(self, action: SyncAction, agent_id: UUID, name: str | None, fields: Sequence[str] = ()) -> None:
        self._reasons.pop(agent_id, None)
        if self._may_log_change():
            more = {"fields": ", ".join(fields)} if fields else {}
            _log.info(f"agent {action}", agent=name, **more, agent_id=str(agent_id))

    def failed(self, outcome: SyncOutcome) -> None:
        """Log a failure, unless its reason was the last one logged of the agent."""
        reason = outcome.failure or ""
        if self._reasons.get(outcome.agent_id) == reason:
            return
        self._reasons[outcome.agent_id] = reason
        if len(self._reasons) > MAX_FAILURES:
            self._reasons.popitem(last=False)
        if self._may_log_failure():
            _log.warning("agent sync failed", agent_id=str(outcome.agent_id), reason=reason, exc_info=outcome.error)

    def retired(self, agent_id: UUID) -> None:
        self._reasons.pop(agent_id, None)
        if self._may_log_change():
            _log.info("agent retired", agent_id=str(agent_id))

    def write_back_failed(self, agent_id: UUID, reason: str) -> None:
        if self._may_log_failure():
            _log.warning("write-back failed; it will be tried again", agent_id=str(agent_id), reason=reason)

    def finished(self, scope: object, counters: Mapping[str, int]) -> None:
        """Log the counters, unless nothing was written and as many agents failed as in the sync before."""
        wrote = counters[SyncAction.CREATED] or counters[SyncAction.UPDATED]
        result = counters["total"], counters[SyncAction.FAILED]
        log = _log.debug if result == self._last and not wrote else _log.info
        self._last = result
        log("agent sync finished", scope=str(scope), **counters)

    def _may_log_change(self) -> bool:
        self._changes += 1
        return self._changes <= LINES and not self._is_quiet

    def _may_log_failure(self) -> bool:
        if self._is_quiet:
            return False
        self._failures += 1
        if self._failures == LINES + 1:
            _log.warning("agent sync: further failures are only in the ledger")
        return self._failures <= LINES
