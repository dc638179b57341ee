"""Events of the change feed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

LISTED, RESET = "listed", "reset"


@dataclass(frozen=True, slots=True)
class Event:
    """One change of one instance, in the order in which all watchers see it.

    `kind`: registered, reconnected, updated, health, draining, deregistered, disconnected, stale, revived, inactive, deleted. Two are of
    this package: `listed` (the instance is there already) and `reset` (events were missed for good: forget what you know, a list follows).
    `position`: resume with `after=`. `instance`: its public representation at that moment; empty for `reset`.
    """

    kind: str
    position: int
    agent_id: str | None = None
    registration_id: str | None = None
    instance: Mapping[str, Any] = field(default_factory=dict)
    at: datetime | None = None

    @classmethod
    def told(cls, params: Mapping[str, Any]) -> Event:
        return cls(
            params["kind"],
            params["position"],
            params.get("agent_id"),
            params.get("registration_id"),
            params.get("instance") or {},
            _moment(params.get("at")),
        )

    @classmethod
    def listed(cls, instance: Mapping[str, Any], position: int) -> Event:
        return cls(LISTED, position, instance.get("agent_id"), instance.get("registration_id"), instance)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
