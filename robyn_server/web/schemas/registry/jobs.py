"""Bodies of /agents/jobs, and of the polls of instances. Unknown fields are refused by name."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from robyn_server.core.registry.jobs import MAX_SLOTS, MAX_WAIT_SECONDS, JobRef
from robyn_server.registry.jobs.schemas import Attempt, EventsFields, FinishFields, Uuid
from robyn_server.registry.schemas import Epoch, Reason

from .instances import StrictBody

MAX_GRACE_SECONDS = 3600
DEFAULT_GRACE_SECONDS = 10.0


class ClaimBody(StrictBody):
    """`wait_seconds`: how long the answer may wait for a job."""

    epoch: Epoch
    max_jobs: Annotated[int, Field(ge=1, le=MAX_SLOTS, strict=True)] = 1
    wait_seconds: Annotated[float, Field(ge=0, le=MAX_WAIT_SECONDS, strict=True)] = 0.0


class JobBody(StrictBody):
    """The registration, epoch and attempt that a message about a job names."""

    registration_id: Uuid
    epoch: Epoch
    attempt: Attempt

    def ref(self, organization_id: UUID, job_id: UUID) -> JobRef:
        return JobRef(organization_id, job_id, self.attempt, self.registration_id, self.epoch)


class RejectBody(JobBody):
    reason: Reason | None = None


class EventsBody(EventsFields, JobBody):
    pass


class FinishBody(FinishFields, JobBody):
    pass


class CancelBody(StrictBody):
    """`grace_seconds`: how long the instance has to stop."""

    reason: Reason | None = None
    grace_seconds: Annotated[float, Field(ge=0, le=MAX_GRACE_SECONDS, strict=True)] = DEFAULT_GRACE_SECONDS


def named(ref: JobRef) -> dict[str, Any]:
    return {"job_id": str(ref.job_id), "attempt": ref.attempt}
