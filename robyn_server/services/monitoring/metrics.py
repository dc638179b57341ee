"""Metrics of the server, for administrators and principals with the scope `metrics`."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

from robyn_server.core.access.permissions import Operation, require
from robyn_server.core.access.principal import Principal
from robyn_server.core.errors import Unavailable
from robyn_server.metrics import refresh
from robyn_server.metrics.definitions import (
    BRAKES,
    DATABASE_UP,
    HTTP_REQUESTS,
    INSTANCES,
    INSTANCES_STALE,
    JOB_SLOTS,
    JOB_SLOTS_USED,
    JOB_WAITING,
    JOBS_QUEUED,
    MOST_AGENTS,
    OTHER_AGENTS,
    RUN_WAITING,
    RUNS_PENDING,
    RUNS_RUNNING,
    RUNS_UNSERVED,
    SLOTS,
    SLOTS_BUSY,
)
from robyn_server.metrics.exposition import Readings, Text, as_text, samples
from robyn_server.storage.registry.instances.leases import Leases
from robyn_server.storage.registry.scaling import Scaling
from robyn_server.storage.runs.queue import QueueState, RunQueue

_QUERY_TIMEOUT = 2.0
"""A scrape times out after ten seconds; it gets the other metrics before that."""

T = TypeVar("T")
_log = structlog.get_logger(__name__)


class MetricsService:
    def __init__(self, queue: RunQueue, registry: Leases | None = None, scaling: Scaling | None = None) -> None:
        self._queue = queue
        self._registry = registry
        self._scaling = scaling

    async def text(self, principal: Principal, accept: str) -> Text:
        """Metrics for Prometheus, in the format of the header `accept`.

        Raises Forbidden. An unavailable database is a metric, not an error.
        """
        require(principal, Operation.METRICS_READ)
        readings = await self._readings()
        await refresh()
        return await asyncio.to_thread(as_text, accept, readings)

    async def summary(self, principal: Principal) -> dict[str, Any]:
        """{queue, api, workers}, in the form of LangGraph's server; times in seconds, null where nothing waits.

        Raises Forbidden, Unavailable.
        """
        require(principal, Operation.METRICS_READ)
        queue = await self._state()
        await refresh()
        return {"queue": _queue_json(queue), **await asyncio.to_thread(_processes_json)}

    async def _readings(self) -> Readings:
        try:
            queue = await self._state()
            registry = {} if self._registry is None else await _with_timeout(_registry_readings(self._registry))
            jobs = {} if self._scaling is None else await _with_timeout(_job_readings(self._scaling))
        except Unavailable as error:
            _log.warning("the database did not answer a scrape", reason=error.detail)
            return {DATABASE_UP: {(): 0}}
        return {
            DATABASE_UP: {(): 1},
            RUNS_PENDING: {(): queue.pending},
            RUNS_RUNNING: {(): queue.running},
            RUN_WAITING: {(): queue.longest_wait or 0},
            RUNS_UNSERVED: {(): queue.unserved},
            **registry,
            **jobs,
        }

    async def _state(self) -> QueueState:
        return await _with_timeout(self._queue.state())


async def _registry_readings(registry: Leases) -> Readings:
    status, living = await registry.status(), await registry.count_living(MOST_AGENTS, OTHER_AGENTS)
    return {
        INSTANCES: {(agent,): count for agent, count in living.items()},
        INSTANCES_STALE: {(): status.stale},
        BRAKES: {(): status.brakes},
    }


async def _job_readings(scaling: Scaling) -> Readings:
    totals = await scaling.totals(MOST_AGENTS)
    return {
        JOBS_QUEUED: {(each.agent,): each.queued for each in totals},
        JOB_WAITING: {(each.agent,): each.oldest_queued_seconds for each in totals},
        JOB_SLOTS: {(each.agent,): each.slots for each in totals},
        JOB_SLOTS_USED: {(each.agent,): each.used for each in totals},
    }


async def _with_timeout(query: Coroutine[Any, Any, T]) -> T:
    """Raises Unavailable."""
    try:
        async with asyncio.timeout(_QUERY_TIMEOUT):
            return await query
    except TimeoutError:
        raise Unavailable(f"The database did not answer within {_QUERY_TIMEOUT:g} seconds; try again.") from None


def _queue_json(queue: QueueState) -> dict[str, Any]:
    return {
        "n_pending": queue.pending,
        "pending_runs_wait_time_max_secs": queue.longest_wait,
        "pending_runs_wait_time_med_secs": queue.median_wait,
        "pending_unblocked_runs_wait_time_max_secs": queue.longest_unblocked_wait,
        "n_running": queue.running,
    }


def _processes_json() -> dict[str, Any]:
    slots, busy = int(sum(samples(SLOTS).values())), int(sum(samples(SLOTS_BUSY).values()))
    return {
        "api": {
            "http_requests_total": [
                {"method": method, "path": route, "status": int(status), "count": int(count)}
                for (method, route, status), count in sorted(samples(HTTP_REQUESTS).items())
            ]
        },
        "workers": {"max": slots, "active": busy, "available": slots - busy},
    }
