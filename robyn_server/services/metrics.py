"""The server's numbers, for who may see them: administrators, and who was granted the scope `metrics`."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

import structlog

from robyn_server.core.errors import Unavailable
from robyn_server.core.principal import Principal
from robyn_server.core.scopes import Scope
from robyn_server.metrics import refresh
from robyn_server.metrics.definitions import (
    BRAKES,
    DATABASE_UP,
    HTTP_REQUESTS,
    INSTANCES,
    INSTANCES_STALE,
    MOST_AGENTS,
    OTHER_AGENTS,
    RUN_WAITING,
    RUNS_PENDING,
    RUNS_RUNNING,
    SLOTS,
    SLOTS_BUSY,
)
from robyn_server.metrics.exposition import Readings, Text, as_text, samples
from robyn_server.storage.leases import Standing
from robyn_server.storage.runs import QueueState

_ASK_SECONDS = 2.0
"""A scrape gives up after ten seconds; it should hear of the other numbers before."""

T = TypeVar("T")
_log = structlog.get_logger(__name__)


class Queue(Protocol):
    async def state(self) -> QueueState: ...


class Registry(Protocol):
    async def look(self) -> Standing: ...

    async def living(self, most: int, others: str) -> dict[str, int]: ...


class MetricsService:
    def __init__(self, queue: Queue, registry: Registry | None = None) -> None:
        self._queue = queue
        self._registry = registry

    async def text(self, principal: Principal, accept: str) -> Text:
        """For Prometheus, in the format that the header `accept` asks for. Raises Forbidden; a database that is away is a metric."""
        principal.require(Scope.METRICS)
        readings = await self._readings()
        await refresh()
        return await asyncio.to_thread(as_text, accept, readings)

    async def summary(self, principal: Principal) -> dict[str, Any]:
        """{queue, api, workers}, as the reference server has it; seconds, null where nothing waits. Raises Forbidden, Unavailable."""
        principal.require(Scope.METRICS)
        queue = await self._state()
        await refresh()
        return {"queue": _queue_json(queue), **await asyncio.to_thread(_processes_json)}

    async def _readings(self) -> Readings:
        try:
            queue = await self._state()
            registry = {} if self._registry is None else await _in_time(_registry_readings(self._registry))
        except Unavailable as error:
            _log.warning("the database did not answer a scrape", reason=error.detail)
            return {DATABASE_UP: {(): 0}}
        return {
            DATABASE_UP: {(): 1},
            RUNS_PENDING: {(): queue.pending},
            RUNS_RUNNING: {(): queue.running},
            RUN_WAITING: {(): queue.longest_wait or 0},
            **registry,
        }

    async def _state(self) -> QueueState:
        return await _in_time(self._queue.state())


async def _registry_readings(registry: Registry) -> Readings:
    standing, living = await registry.look(), await registry.living(MOST_AGENTS, OTHER_AGENTS)
    return {
        INSTANCES: {(agent,): count for agent, count in living.items()},
        INSTANCES_STALE: {(): standing.stale},
        BRAKES: {(): standing.brakes},
    }


async def _in_time(asked: Coroutine[Any, Any, T]) -> T:
    """Raises Unavailable."""
    try:
        async with asyncio.timeout(_ASK_SECONDS):
            return await asked
    except TimeoutError:
        raise Unavailable(f"The database did not answer within {_ASK_SECONDS:g} seconds; try again.") from None


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
