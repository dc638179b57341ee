"""Use cases of operators: they list jobs of their organization, look at one, and cancel it.

They see which instance has a job and how its offers ended, and nothing that users wrote. Input, events and result
belong to the owner of the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import structlog

from robyn_server.core.access.principal import Principal
from robyn_server.core.errors import Invalid, NotFound
from robyn_server.core.ids import find_uuid
from robyn_server.core.registry.job_filter import JobFilter
from robyn_server.core.registry.jobs import CancelOutcome
from robyn_server.registry.organizations import ensure_member
from robyn_server.storage.registry.jobs.jobs import Jobs
from robyn_server.storage.registry.jobs.lists import JobLists

from .announcer import JobAnnouncer

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MAX_DIGITS = 18
_log = structlog.get_logger(__name__)


class JobOperations:
    """Every method raises Forbidden if the principal is not a member of the organization, and Unavailable."""

    def __init__(self, jobs: Jobs, lists: JobLists, announcer: JobAnnouncer) -> None:
        self._jobs = jobs
        self._lists = lists
        self._announcer = announcer

    async def search(
        self, principal: Principal, organization_id: UUID, job_filter: JobFilter, cursor: str | None, limit: int
    ) -> Mapping[str, Any]:
        """Return a page, the newest job first: `jobs`, and `next_cursor` if there are more. Raises Invalid."""
        ensure_member(principal, organization_id)
        after = None if cursor is None else _position(cursor)
        page = await self._lists.search(organization_id, job_filter, after=after, limit=limit)
        next_cursor = None if page.after is None else _cursor(*page.after)
        return {"jobs": [orjson.Fragment(body) for body in page.bodies], "next_cursor": next_cursor}

    async def get(self, principal: Principal, organization_id: UUID, job_id: UUID) -> str:
        """Return the job and its offers as JSON text. Raises NotFound."""
        ensure_member(principal, organization_id)
        body = await self._lists.find(organization_id, job_id)
        if body is None:
            raise missing_job()
        return body

    async def cancel(
        self, principal: Principal, organization_id: UUID, job_id: UUID, reason: str | None, grace_seconds: float
    ) -> None:
        """Cancel a job. The instance that has it gets `grace_seconds` to stop. A job that has ended stays as it is.

        Raises NotFound, Forbidden (a key of other agents), Invalid.
        """
        ensure_member(principal, organization_id)
        if principal.agents is not None and (agent_id := await self._lists.find_agent_id(organization_id, job_id)):
            principal.require_agent(agent_id)
        outcome, registration_id = await self._jobs.cancel(organization_id, job_id, reason, grace_seconds, by=principal)
        if outcome is CancelOutcome.UNKNOWN:
            raise missing_job()
        self._announcer.changed([job_id])
        self._announcer.offered([] if registration_id is None else [registration_id])
        _log.info("job cancelled", job_id=str(job_id), outcome=outcome, by=principal.identity, reason=reason)


def missing_job() -> NotFound:
    return NotFound("There is no such job.", field="job_id")


def _cursor(created_at: datetime, job_id: UUID) -> str:
    return f"{(created_at - _EPOCH) // _MICROSECOND}.{job_id}"


def _position(cursor: str) -> tuple[datetime, UUID]:
    """Raises Invalid for a text that is no cursor of a page."""
    digits, _, text = cursor.partition(".")
    job_id = find_uuid(text)
    if job_id is None or not (digits.isascii() and digits.isdigit() and len(digits) <= _MAX_DIGITS):
        raise Invalid("cursor: must be the next_cursor of a page", field="cursor")
    try:
        return _EPOCH + int(digits) * _MICROSECOND, job_id
    except OverflowError:
        raise Invalid("cursor: must be the next_cursor of a page", field="cursor") from None
