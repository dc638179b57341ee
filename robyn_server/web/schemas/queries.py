"""Query parameters of /agents, and what is read from them. They have been checked against these when a handler is called."""

from __future__ import annotations

from uuid import UUID

from robyn_server.core.errors import Invalid
from robyn_server.core.ids import find_uuid
from robyn_server.core.registry import LARGEST_EPOCH, LONGEST_REASON, HealthStatus, InstanceFilter, RegistrationStatus
from robyn_server.web.http import Query
from robyn_server.web.parameters import Parameter

from .instances import LONGEST_NAME, LONGEST_WORD, MOST_WORDS, LeavingBody

PAGE, LARGEST_PAGE = 50, 100
FAILURES, MOST_FAILURES = 100, 1000
LARGEST_POSITION = 2**63 - 1

_LIMIT = Parameter("limit", "How many on a page.", within=(1, LARGEST_PAGE), default=PAGE)
_CURSOR = Parameter("cursor", "The next_cursor of the page before.", longest=LONGEST_NAME)

AGENT_PAGE = (_LIMIT, _CURSOR)

_WHICH = (
    Parameter("agent_id", "Instances of this type of agent.", longest=LONGEST_WORD),
    Parameter("capability", "May be repeated: all of them.", most=MOST_WORDS, longest=LONGEST_WORD),
    Parameter("tag", "May be repeated: all of them.", most=MOST_WORDS, longest=LONGEST_WORD),
    Parameter("zone", "Where it runs.", longest=LONGEST_WORD),
)

INSTANCES = (
    *_WHICH,
    Parameter(
        "health",
        "Unset, and no status: healthy and degraded. stale: without a living lease.",
        choices=tuple(HealthStatus),
    ),
    Parameter("status", "Unset: active, with a living lease. Named: in any health.", choices=tuple(RegistrationStatus)),
    Parameter("version", "Comparators joined by commas: >=1.2,<2.", longest=LONGEST_WORD),
    Parameter("free_slots", "At least so many below max_workload.", within=(0, 2**31 - 1)),
    _LIMIT,
    _CURSOR,
)

WATCH = (
    *_WHICH,
    Parameter("after", "A position to go on behind; Last-Event-ID counts more.", within=(0, LARGEST_POSITION)),
)

LEAVING = (
    Parameter("epoch", "Which life is meant; required here or in a body.", within=(0, LARGEST_EPOCH)),
    Parameter("reason", "For those who ask why.", longest=LONGEST_REASON, may_be_empty=True),
)

SYNC_FAILURES = (
    Parameter("limit", "How many failures.", within=(1, MOST_FAILURES), default=FAILURES),
    Parameter("after", "The agent_id of the last failure that was seen."),
)


def filter_of(query: Query) -> InstanceFilter:
    health, status = query.get("health"), query.get("status")
    return InstanceFilter(
        agent_id=query.get("agent_id"),
        capabilities=tuple(query.get_all("capability")),
        tags=tuple(query.get_all("tag")),
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
    """After which agent_id, and how many."""
    return query.get("cursor"), limit_of(query)


def leaving_of(query: Query) -> LeavingBody:
    """From `?epoch=…&reason=…`, for a DELETE without a body. Raises Invalid."""
    epoch = query.integer("epoch")
    if epoch is None:
        raise Invalid("epoch: Field required", field="epoch")
    return LeavingBody(epoch=epoch, reason=query.get("reason") or None)


def ensure_none(query: Query) -> None:
    """Raises Invalid when something is in the query of a request whose body says it all."""
    for name in sorted(query.names):
        raise Invalid(f"{name}: name it in the query or send a body, not both", field=name)
