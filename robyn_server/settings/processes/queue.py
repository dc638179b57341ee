"""Settings of the queue of runs."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import Field

from robyn_server.core.queue.limits import LARGEST_WEIGHT, RunningLimits
from robyn_server.settings.field import env
from robyn_server.settings.part import SettingsPart

PENDING_OF_OWNER = 1_000
PENDING_OF_ORGANIZATION = 10_000
"""The limits that are unset, where there is more than one user."""
_MOST = 1_000_000


class QueueSettings(SettingsPart):
    pending_of_owner: int | None = env(
        "AGENTHALL_PENDING_RUNS_PER_OWNER",
        None,
        "Runs of one owner that may wait in the queue. 0: any number. Unset: 1,000, and any number with AUTH_MODE=none.",
        ge=0,
        le=_MOST,
    )
    pending_of_organization: int | None = env(
        "AGENTHALL_PENDING_RUNS_PER_ORGANIZATION",
        None,
        "Runs of one organization that may wait in the queue and could start. 0: any number. Unset: 10,000, and any"
        " number with AUTH_MODE=none.",
        ge=0,
        le=_MOST,
    )
    running_of_owner: int | None = env(
        "AGENTHALL_RUNNING_RUNS_PER_OWNER",
        None,
        "Runs of one owner that are executed at the same time; others wait. Unset: any number. Set"
        " it alike for all workers.",
        ge=1,
        le=_MOST,
    )
    running_of_organization: int | None = env(
        "AGENTHALL_RUNNING_RUNS_PER_ORGANIZATION",
        None,
        "Runs of one organization that are executed at the same time; others wait. Unset: any number. Set it alike for"
        " all workers.",
        ge=1,
        le=_MOST,
    )
    queue_weights: dict[UUID, Annotated[int, Field(ge=1, le=LARGEST_WEIGHT)]] = env(
        "AGENTHALL_QUEUE_WEIGHTS",
        {},
        'Runs that an organization starts in one of its turns, as JSON: `{"<organization id>": 3}`, from 1 to 100. Others'
        " start 1.",
    )

    @property
    def running_limits(self) -> RunningLimits:
        return RunningLimits(self.running_of_owner, self.running_of_organization, self.queue_weights)
