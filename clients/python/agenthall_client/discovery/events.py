"""Events of the change feed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

LISTED, RESET = "listed", "reset"


@dataclass(frozen=True, slots=True)
class Event:
    """One change of one instance. All watchers see the same order.

    `kind`: registered, reconnected, updated, health, draining, cordoned, uncordoned, deregistered, disconnected, stale,
    revived, inactive, deleted. This package adds two: `listed` (the instance existed when the watch began) and `reset`
    (events were lost: forget all instances, a new list follows).
    `position`: pass it as `after=` to resume. `instance`: its public representation at that moment; empty for `reset`.
    """

    kind: str
    position: int
    agent_id: str | None = None
    registration_id: str | None = None
    instance: Mapping[str, Any] = field(default_factory=dict)
    at: datetime | None = None

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Event:
        """The event in an `agent.event` notification."""
        return cls(
            params["kind"],
            params["position"],
            params.get("agent_id"),
            params.get("registration_id"),
            params.get("instance") or {},
            _parse_time(params.get("at")),
        )

    @classmethod
    def listed(cls, instance: Mapping[str, Any], position: int) -> Event:
        return cls(LISTED, position, instance.get("agent_id"), instance.get("registration_id"), instance)


def _parse_time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
