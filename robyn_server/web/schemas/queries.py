"""Query parameters and their values. Those of /agents are validated by the edge, before a handler is called."""

from __future__ import annotations

import re
from datetime import datetime
from uuid import UUID

from robyn_server.core.errors import Invalid
from robyn_server.core.ids import find_uuid
from robyn_server.core.registry.instances import (
    MAX_EPOCH,
    MAX_REASON_LENGTH,
    HealthStatus,
    InstanceFilter,
    RegistrationStatus,
)
from robyn_server.core.registry.job_filter import JobFilter
from robyn_server.core.registry.jobs import JobState
from robyn_server.registry.schemas import MAX_NAME_LENGTH, MAX_SHORT_LENGTH, MAX_STRINGS
from robyn_server.web.http.messages import Query
from robyn_server.web.http.parameters import Parameter

from .registry.instances import LeavingBody

PAGE, LARGEST_PAGE = 50, 100
_DEPTH = re.compile("[1-9][0-9]{0,8}")
FAILURES, MOST_FAILURES = 100, 1000
MOST_BRAKES = 1000
LARGEST_POSITION = 2**63 - 1

_LIMIT = Parameter("limit", "Items on a page.", within=(1, LARGEST_PAGE), default=PAGE)
_CURSOR = Parameter("cursor", "The next_cursor of the previous page.", max_length=MAX_NAME_LENGTH)

AGENT_PAGE = (_LIMIT, _CURSOR)


def _words(name: str, description: str) -> Parameter:
    return Parameter(name, description, max_values=MAX_STRINGS, max_length=MAX_SHORT_LENGTH)


_WHICH = (
    Parameter("agent_id", "Instances of this type of agent.", max_length=MAX_SHORT_LENGTH),
    _words("capabilities", "May be repeated. An instance must have all of them."),
    _words("tags", "May be repeated. An instance must have all of them."),
    _words("capability", "The same as capabilities."),
    _words("tag", "The same as tags."),
    Parameter("zone", "The zone in which the instance runs.", max_length=MAX_SHORT_LENGTH),
)

INSTANCES = (
    *_WHICH,
    Parameter(
        "health",
        "Default without status: healthy and degraded. stale: the lease has lapsed; with status inactive, ended ones too.",
        choices=tuple(HealthStatus),
    ),
    Parameter(
        "status",
        "Default: active, with a live lease. With a status, any health matches.",
        choices=tuple(RegistrationStatus),
    ),
    Parameter("version", "Comparators joined by commas: >=1.2,<2.", max_length=MAX_SHORT_LENGTH),
    Parameter("free_slots", "The least number of further runs up to max_workload.", within=(0, 2**31 - 1)),
    _LIMIT,
    _CURSOR,
)

WATCH = (
    *_WHICH,
    Parameter("after", "The position to resume after. Last-Event-ID takes precedence.", within=(0, LARGEST_POSITION)),
)

LEAVING = (
    Parameter("epoch", "The epoch of the registration. Required, here or in a body.", within=(0, MAX_EPOCH)),
    Parameter("reason", "The reason, shown with the instance.", max_length=MAX_REASON_LENGTH, may_be_empty=True),
)

SYNC_FAILURES = (
    Parameter("limit", "Failures on a page.", within=(1, MOST_FAILURES), default=FAILURES),
    Parameter("after", "The agent_id of the last failure of the previous page."),
)


SCALING = (
    Parameter("agent_id", "This type of agent alone.", max_length=MAX_SHORT_LENGTH),
    _LIMIT,
    _CURSOR,
)
BRAKES = (
    Parameter("limit", "Brakes on a page.", within=(1, MOST_BRAKES), default=MOST_BRAKES),
    Parameter("offset", "Brakes to pass over, the oldest first.", within=(0, 2**31 - 1), default=0),
)


JOBS = (
    Parameter("agent_id", "Jobs for this type of agent.", max_length=MAX_SHORT_LENGTH),
    Parameter("state", "Jobs in this state.", choices=tuple(JobState)),
    Parameter("thread_id", "Jobs of this thread.", max_length=MAX_SHORT_LENGTH),
    Parameter("run_id", "Jobs of this run.", max_length=MAX_SHORT_LENGTH),
    Parameter(
        "registration_id", "Jobs that this instance has, or had last. Without `agent_id`.", max_length=MAX_SHORT_LENGTH
    ),
    _LIMIT,
    _CURSOR,
)


def job_filter_of(query: Query) -> JobFilter:
    """Raises Invalid."""
    state, agent_id = query.get("state"), query.get("agent_id")
    registration_id = uuid_of(query, "registration_id")
    if agent_id is not None and registration_id is not None:
        raise Invalid("agent_id: leave it out beside registration_id, an instance has one", field="agent_id")
    return JobFilter(
        agent_id=agent_id,
        state=None if state is None else JobState(state),
        thread_id=uuid_of(query, "thread_id"),
        run_id=uuid_of(query, "run_id"),
        registration_id=registration_id,
    )


def uuid_of(query: Query, name: str) -> UUID | None:
    """Raises Invalid naming the parameter."""
    text = query.get(name)
    found = None if text is None else find_uuid(text)
    if text is not None and found is None:
        raise Invalid(f"{name}: must be a UUID", field=name)
    return found


def moment_of(query: Query, name: str) -> datetime | None:
    """Raises Invalid naming the parameter."""
    text = query.get(name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise Invalid(f"{name}: must be a time with a time zone, such as 2026-01-31T12:00:00Z", field=name)
    return moment


def filter_of(query: Query) -> InstanceFilter:
    health, status = query.get("health"), query.get("status")
    return InstanceFilter(
        agent_id=query.get("agent_id"),
        capabilities=(*query.get_all("capabilities"), *query.get_all("capability")),
        tags=(*query.get_all("tags"), *query.get_all("tag")),
        zone=query.get("zone"),
        health=None if health is None else HealthStatus(health),
        version=query.get("version"),
        free_slots=query.integer("free_slots"),
        status=None if status is None else RegistrationStatus(status),
    )


def limit_of(query: Query) -> int:
    return query.integer("limit") or PAGE


def cursor_of(query: Query) -> UUID | None:
    """Raises Invalid."""
    text = query.get("cursor")
    cursor = None if text is None else find_uuid(text)
    if text is not None and cursor is None:
        raise Invalid("cursor: must be the next_cursor of a page", field="cursor")
    return cursor


def agent_page_of(query: Query) -> tuple[str | None, int]:
    """The agent_id to continue after, and the page size."""
    return query.get("cursor"), limit_of(query)


def xray_of(query: Query) -> bool | int:
    """Whether subgraphs are drawn, or to which depth. Raises Invalid with the wording of LangGraph's server."""
    text = query.get("xray", "false")
    flag = {"true": True, "false": False}.get(str(text).lower())
    if flag is not None:
        return flag
    if _DEPTH.fullmatch(str(text)) is None:
        raise Invalid("Invalid xray value", field="xray")
    return int(str(text))


def brake_page_of(query: Query) -> tuple[int, int]:
    """The page size, and how many brakes come before the page."""
    return query.integer("limit") or MOST_BRAKES, query.integer("offset") or 0


def leaving_of(query: Query) -> LeavingBody:
    """Read `?epoch=…&reason=…` of a DELETE without a body. Raises Invalid."""
    epoch = query.integer("epoch")
    if epoch is None:
        raise Invalid("epoch: Field required", field="epoch")
    return LeavingBody(epoch=epoch, reason=query.get("reason") or None)


def ensure_none(query: Query) -> None:
    """Raises Invalid for a query parameter of a request that has a body."""
    for name in sorted(query.names):
        raise Invalid(f"{name}: set it in the query or in a body, not both", field=name)
