"""The installation at a glance, for operators: its numbers now, and those of the last hour or day."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from robyn_server.core.access.permissions import Operation, require
from robyn_server.core.access.principal import Principal
from robyn_server.core.errors import Unavailable
from robyn_server.core.metric_points import Window, points, step_of
from robyn_server.storage.operations.metrics_history import MetricsHistory, Now
from robyn_server.storage.runs.queue import QueueState, RunQueue

_QUERY_TIMEOUT = 4.0


class OverviewService:
    """`agent_sync`: returns the report of readiness about it. `grafana_url`: where operators have more plots."""

    def __init__(
        self,
        history: MetricsHistory,
        queue: RunQueue,
        agent_sync: Callable[[], Mapping[str, Any]],
        grafana_url: str | None,
    ) -> None:
        self._history = history
        self._queue = queue
        self._agent_sync = agent_sync
        self._grafana_url = grafana_url

    async def history(self, principal: Principal, window: Window) -> dict[str, Any]:
        """Return the points of the last hour, or of the last day. Raises Forbidden, Unavailable."""
        require(principal, Operation.METRICS_READ)
        until = datetime.now(UTC)
        since = step_of(until - window.length, window.step)
        minutes = await self._history.list(since)
        return {
            "window": window.value,
            "step_seconds": int(window.step.total_seconds()),
            "from": since.isoformat(),
            "until": until.isoformat(),
            "points": points(minutes, window.step),
        }

    async def now(self, principal: Principal) -> dict[str, Any]:
        """Return the numbers of this moment. Raises Forbidden, and Unavailable without the database."""
        require(principal, Operation.METRICS_READ)
        try:
            async with asyncio.timeout(_QUERY_TIMEOUT):
                queue, now = await self._queue.state(), await self._history.read_now()
                processes = await self._history.list_processes()
        except TimeoutError:
            raise Unavailable(f"The database did not answer within {_QUERY_TIMEOUT:g} seconds; try again.") from None
        return {
            "at": now.at.isoformat(),
            "runs": _runs(queue),
            "open_streams": now.open_streams,
            "instances": {"by_state": now.instances},
            "jobs": {"queued": now.jobs_queued, "running": now.jobs_running},
            "agent_sync": self._agent_sync(),
            "database": _database(now),
            "replicas": [{"process": each.process, "version": each.version} for each in processes],
            "grafana_url": self._grafana_url,
        }


def _runs(queue: QueueState) -> dict[str, Any]:
    return {
        "pending": queue.pending,
        "running": queue.running,
        "oldest_pending_seconds": queue.longest_wait,
        "unserved": queue.unserved,
    }


def _database(now: Now) -> dict[str, Any]:
    return {
        "ok": True,
        "version": now.version,
        "size_bytes": now.size_bytes,
        "connections": {"used": now.connections, "max": now.max_connections},
    }
