"""Scaling signals: how much work an agent's instances have and wait for, and how many instances it calls for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

TARGET_UTILISATION = 0.8
"""The used part of all slots that `desired_instances` aims at."""


@dataclass(frozen=True, slots=True)
class ScalingSignals:
    """`used`: slots that are taken, by offers too. `slots`: those of `instances`, the ones that can take work.

    `per_instance`: slots of one instance, on average. `oldest_queued_seconds`: 0 when nothing waits.
    """

    agent_id: str
    queued: int
    oldest_queued_seconds: float
    offered: int
    used: int
    instances: int
    slots: int
    ejected: int
    per_instance: float

    @property
    def in_flight(self) -> int:
        """Jobs that instances have accepted."""
        return max(0, self.used - self.offered)

    @property
    def utilisation(self) -> float:
        """The used part of all slots; 1 without slots while there is work."""
        if not self.slots:
            return 1.0 if self.queued + self.used else 0.0
        return round(self.used / self.slots, 4)

    @property
    def desired_instances(self) -> int:
        """Instances that would do the present work, queued and in flight, at TARGET_UTILISATION. 0 without work."""
        work = self.queued + self.used
        return math.ceil(work / (max(self.per_instance, 1.0) * TARGET_UTILISATION))

    def to_dict(self) -> dict[str, Any]:
        return {
            "agent_id": self.agent_id,
            "queued": self.queued,
            "oldest_queued_seconds": round(self.oldest_queued_seconds, 3),
            "offered": self.offered,
            "in_flight": self.in_flight,
            "instances": self.instances,
            "slots": self.slots,
            "utilisation": self.utilisation,
            "ejected": self.ejected,
            "desired_instances": self.desired_instances,
        }
