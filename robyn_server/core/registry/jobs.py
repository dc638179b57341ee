"""Values of jobs: work for instances that dialled in.

A job is offered to one instance at a time. Every message of the instance names the job, its attempt, the registration
and the registration's epoch (`JobRef`). A message that does not match all four is fenced, and changes nothing.

Sections: states, what a caller asks for, what an instance gets and says, what a follower reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

from .version_range import VersionRange

MAX_SLOTS = 1000
MAX_WAIT_SECONDS = 30.0
"""How long a poll for jobs may wait."""

MAX_UNACKNOWLEDGED_EVENTS = 64
MAX_UNACKNOWLEDGED_BYTES = 256 * 1024
"""The window: so many events, or bytes of them, may be sent before the first is acknowledged."""

MAX_REASON_LENGTH = 1024


class JobState(StrEnum):
    QUEUED = "queued"
    OFFERED = "offered"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def is_ended(self) -> bool:
        return not TRANSITIONS[self]


TRANSITIONS: Mapping[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.OFFERED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED}),
    JobState.OFFERED: frozenset({JobState.RUNNING, JobState.QUEUED, JobState.CANCELLED}),
    JobState.RUNNING: frozenset(
        {JobState.SUCCEEDED, JobState.FAILED, JobState.QUEUED, JobState.CANCELLED, JobState.EXPIRED}
    ),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
    JobState.EXPIRED: frozenset(),
}
"""The changes of a state that are possible, as in mcp.agent_job_transitions(). A test compares the two."""


class RetryPolicy(StrEnum):
    """Whether a job is retried whose instance was lost. IF_SILENT: while it has no events."""

    NEVER = "never"
    IF_SILENT = "if_silent"
    ALWAYS = "always"


JobEventName = Literal["token", "messages", "values", "updates", "custom"]
JOB_EVENTS: tuple[JobEventName, ...] = ("token", "messages", "values", "updates", "custom")


class JobOutcome(StrEnum):
    """The result of an instance's message about a job.

    GAP: earlier events are missing, and nothing changed. FULL: the job would have too many bytes of events.
    """

    OK = "ok"
    FENCED = "fenced"
    GAP = "gap"
    FULL = "full"


class CancelOutcome(StrEnum):
    """CANCELLED: no instance had accepted the job. REQUESTED: its instance is told."""

    CANCELLED = "cancelled"
    REQUESTED = "requested"
    ENDED = "ended"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class JobConditions:
    """Conditions on the instance that gets a job. `zone` and `affinity_key` are preferences."""

    capabilities: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    version: VersionRange = field(default_factory=VersionRange)
    zone: str | None = None
    affinity_key: str | None = None


@dataclass(frozen=True, slots=True)
class JobPolicy:
    """`start_within`: how long a job may wait for an instance; zero: not at all; None: without limit.

    `run_within`: how long it may take in all; None: without limit.
    """

    retry: RetryPolicy = RetryPolicy.IF_SILENT
    max_attempts: int = 3
    start_within: timedelta | None = timedelta(seconds=60)
    run_within: timedelta | None = None


@dataclass(frozen=True, slots=True)
class NewJob:
    """A repeated creation with the same `job_id` finds the job that exists."""

    job_id: UUID
    organization_id: UUID
    agent_id: str
    input: Mapping[str, Any]
    thread_id: UUID | None = None
    run_id: UUID | None = None
    conditions: JobConditions = field(default_factory=JobConditions)
    policy: JobPolicy = field(default_factory=JobPolicy)


@dataclass(frozen=True, slots=True)
class CreatedJob:
    """`offered`: registrations that got offers, which are to be notified."""

    state: JobState
    is_new: bool
    offered: Sequence[UUID]


@dataclass(frozen=True, slots=True)
class JobRef:
    """The job, attempt, registration and epoch that a message of an instance names."""

    organization_id: UUID
    job_id: UUID
    attempt: int
    registration_id: UUID
    epoch: int


@dataclass(frozen=True, slots=True)
class JobNotice:
    """A notice for an instance: an offer of a job, its cancellation, or its forced end.

    `input`: JSON text, of an offer only. `accept_within`, `cancel_within`: seconds that are left.
    """

    ref: JobRef
    state: JobState
    agent_id: str
    run_id: UUID | None
    thread_id: UUID | None
    input: str | None
    deadline: datetime | None
    accept_within: float | None
    cancel_reason: str | None = None
    cancel_within: float | None = None


@dataclass(frozen=True, slots=True)
class ContinuedJob:
    """A running job that goes on under another epoch. The instance repeats its events after `applied_through`."""

    job_id: UUID
    attempt: int
    applied_through: int
    is_cancelled: bool

    def to_dict(self) -> dict[str, Any]:
        """The job as it is sent to its instance."""
        return {
            "job_id": str(self.job_id),
            "attempt": self.attempt,
            "applied_through": self.applied_through,
            "cancel": self.is_cancelled,
        }


@dataclass(frozen=True, slots=True)
class OpenedSlots:
    """`outcome`: that of the registration's epoch."""

    outcome: str
    continued: Sequence[ContinuedJob]
    offered: Sequence[UUID]
    changed: Sequence[UUID]


@dataclass(frozen=True, slots=True)
class ExtendedJob:
    job_id: UUID
    attempt: int
    outcome: JobOutcome
    is_cancelled: bool

    def to_dict(self) -> dict[str, Any]:
        """The result as it is sent to the instance."""
        return {
            "job_id": str(self.job_id),
            "attempt": self.attempt,
            "outcome": self.outcome,
            "cancel": self.is_cancelled,
        }


@dataclass(frozen=True, slots=True)
class JobEvent:
    """`seq` counts from 1 in each attempt. `data` is JSON text."""

    attempt: int
    seq: int
    event: str
    data: str


@dataclass(frozen=True, slots=True)
class JobEnd:
    """How an instance ends a job. `interrupts`: the job waits for answers, which come as another job."""

    state: JobState
    result: Any = None
    error: Mapping[str, Any] | None = None
    interrupts: Sequence[Mapping[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class FollowedJob:
    """A job as its follower reads it. `events`: those after the follower's position, a page of them.

    `result`, `error` and `interrupts` are those of the end. `has_more`: there may be further events.
    """

    job_id: UUID
    state: JobState
    attempt: int
    instance_id: str | None
    events: Sequence[JobEvent]
    result: Any = None
    error: Mapping[str, Any] | None = None
    interrupts: Sequence[Mapping[str, Any]] | None = None
    has_more: bool = False


@dataclass(frozen=True, slots=True)
class SweptJobs:
    """Jobs that one sweep changed, and registrations to notify. `skipped`: another process was sweeping."""

    changed: Sequence[UUID]
    told: Sequence[UUID]
    offered: Sequence[UUID]
    skipped: bool
