"""What agent sync comes to, as metrics."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from robyn_server.core.agent_change import RETIRED
from robyn_server.core.catalogue import SyncAction
from robyn_server.metrics.definitions import SYNC_ACTIONS, SYNC_AGENTS, SYNC_LAST, SYNC_PASSES, SYNC_SECONDS


def count_pass(counters: Mapping[str, int] | None, started_at: datetime, seconds: float) -> None:
    """A look at a whole scope; `counters` None: it failed."""
    SYNC_PASSES.inc("failed" if counters is None else "succeeded")
    if counters is None:
        return
    SYNC_SECONDS.observe(seconds)
    SYNC_LAST.set(started_at.timestamp() + seconds)
    for action in SYNC_ACTIONS:
        SYNC_AGENTS.inc("pass", action, by=counters.get(action, 0))


def count_edits(counters: dict[str, int]) -> dict[str, int]:
    """Counts what the change feed named by what became of it; returns `counters` as they were."""
    for action, count in counters.items():
        SYNC_AGENTS.inc("feed", RETIRED if action == SyncAction.MISSING else action, by=count)
    return counters
