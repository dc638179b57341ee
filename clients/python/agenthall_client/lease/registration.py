"""The registration of an instance, and the states of an AgentInstance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


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
    """The server's reply to `agent.register`.

    `epoch` counts the registrations of this instance. `is_new`: the server did not know the instance before.
    """

    registration_id: str
    manifest_id: str
    config_id: str
    instance_id: str
    epoch: int
    is_new: bool
    lease_ttl_seconds: float
    heartbeat_interval_seconds: float

    @classmethod
    def from_result(cls, result: Mapping[str, Any]) -> Registration:
        return cls(**{name: result[name] for name in cls.__dataclass_fields__})

    @property
    def reference(self) -> dict[str, Any]:
        """The params by which a message refers to this registration."""
        return {"registration_id": self.registration_id, "epoch": self.epoch}
