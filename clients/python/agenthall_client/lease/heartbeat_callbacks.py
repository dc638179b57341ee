"""The program's callbacks that each heartbeat reads: health, load and metrics."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

_log = logging.getLogger("agenthall_client")

HealthCallback = Callable[[], str | Awaitable[str]]
ValuesCallback = Callable[[], Mapping[str, Any] | Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class HeartbeatCallbacks:
    """When a callback raises, `health` counts as unhealthy; `load` and `metrics` are left out."""

    health: HealthCallback | None
    load: ValuesCallback | None
    metrics: ValuesCallback | None

    async def read_health(self) -> str:
        """`healthy` without a callback."""
        if self.health is None:
            return "healthy"
        try:
            health = self.health()
            return await health if inspect.isawaitable(health) else str(health)
        except Exception:  # noqa: BLE001 - code of the program may raise anything
            _log.exception("health() failed; the instance reports unhealthy")
            return "unhealthy"

    async def read(self) -> dict[str, Any]:
        """The params of a heartbeat."""
        values = {
            "load": await _read_values("load", self.load),
            "metrics": await _read_values("metrics", self.metrics),
        }
        return {
            "health": await self.read_health(),
            **{name: value for name, value in values.items() if value is not None},
        }


async def _read_values(name: str, callback: ValuesCallback | None) -> dict[str, Any] | None:
    if callback is None:
        return None
    try:
        values = callback()
        return dict(await values if inspect.isawaitable(values) else values)
    except Exception:  # noqa: BLE001 - code of the program may raise anything
        # The server keeps the last values that it received.
        _log.exception("%s() failed; this heartbeat is sent without it", name)
        return None
