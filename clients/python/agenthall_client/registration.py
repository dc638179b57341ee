"""What an instance is told when it registers, what it says of itself, and the states it is in."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

_log = logging.getLogger("agenthall_client")

Health = Callable[[], str | Awaitable[str]]
Figures = Callable[[], Mapping[str, Any] | Awaitable[Mapping[str, Any]]]


class State(StrEnum):
    """connecting → active ⇄ reconnecting; active → draining; any → closed or failed."""

    CONNECTING = "connecting"
    ACTIVE = "active"
    RECONNECTING = "reconnecting"
    DRAINING = "draining"
    CLOSED = "closed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Registration:
    """`epoch` says which of its lives the instance is in. `is_new`: the instance was not known before. Seconds as the server dictates."""

    registration_id: str
    manifest_id: str
    config_id: str
    instance_id: str
    epoch: int
    is_new: bool
    lease_ttl_seconds: float
    heartbeat_interval_seconds: float

    @classmethod
    def told(cls, answer: Mapping[str, Any]) -> Registration:
        return cls(**{name: answer[name] for name in cls.__dataclass_fields__})

    @property
    def named(self) -> dict[str, Any]:
        """As each message about it names it."""
        return {"registration_id": self.registration_id, "epoch": self.epoch}


@dataclass(frozen=True, slots=True)
class Vitals:
    """What each heartbeat asks the program for. A function that fails is not hidden: `health` is then `unhealthy`."""

    health: Health | None
    load: Figures | None
    metrics: Figures | None

    async def read_health(self) -> str:
        """`healthy` unless the program knows better."""
        if self.health is None:
            return "healthy"
        try:
            said = self.health()
            return await said if inspect.isawaitable(said) else str(said)
        except Exception:  # noqa: BLE001 - see below
            # The program's own code: whatever it raises means that it cannot say that it is well.
            _log.exception("health() failed: unhealthy")
            return "unhealthy"

    async def read(self) -> dict[str, Any]:
        """The params of a heartbeat."""
        figures = {"load": await _figures("load", self.load), "metrics": await _figures("metrics", self.metrics)}
        return {
            "health": await self.read_health(),
            **{name: said for name, said in figures.items() if said is not None},
        }


async def _figures(name: str, source: Figures | None) -> dict[str, Any] | None:
    if source is None:
        return None
    try:
        said = source()
        return dict(await said if inspect.isawaitable(said) else said)
    except Exception:  # noqa: BLE001 - see below
        # The program's own code: its last figures stay as they are, and the lease must not end for it.
        _log.exception("%s() failed: it is left out", name)
        return None
