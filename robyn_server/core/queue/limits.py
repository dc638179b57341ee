"""Limits of the runs that one owner and one organization have in the queue, and the weights of their turns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

LARGEST_WEIGHT = 100


@dataclass(frozen=True, slots=True)
class PendingLimits:
    """The most runs that wait in the queue: of one owner, and of one organization. None: any number."""

    of_owner: int | None = None
    of_organization: int | None = None

    def __bool__(self) -> bool:
        return self.of_owner is not None or self.of_organization is not None


@dataclass(frozen=True, slots=True)
class RunningLimits:
    """The most runs that are executed at a time, as those of PendingLimits.

    `weights`: how many runs an organization starts in one of its turns, 1 unless it is named.
    """

    of_owner: int | None = None
    of_organization: int | None = None
    weights: Mapping[UUID, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.of_owner is not None or self.of_organization is not None


ANY_PENDING = PendingLimits()
ANY_RUNNING = RunningLimits()
