"""The parameters of the methods about jobs."""

from __future__ import annotations

from robyn_server.registry.jobs.schemas import Attempt, EventsFields, FinishFields, NamedJobs, Uuid
from robyn_server.registry.schemas import Reason

from .params import RegistrationParams


class JobParams(RegistrationParams):
    job_id: Uuid
    attempt: Attempt


class RejectParams(JobParams):
    reason: Reason | None = None


class EventsParams(EventsFields, JobParams):
    pass


class FinishParams(FinishFields, JobParams):
    pass


class ExtendParams(RegistrationParams):
    jobs: NamedJobs
