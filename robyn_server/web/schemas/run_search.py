"""The query of GET /runs."""

from __future__ import annotations

from robyn_server.core.runs import RunStatus
from robyn_server.storage.runs.search import RunFilter
from robyn_server.web.http.messages import Query
from robyn_server.web.http.parameters import Parameter

from .queries import AGENT_PAGE, moment_of, uuid_of

_MAX_LENGTH = 64

RUNS = (
    *AGENT_PAGE,
    Parameter("status", "Runs with this status.", choices=tuple(RunStatus)),
    Parameter("assistant_id", "Runs of the assistant with this id.", max_length=_MAX_LENGTH),
    Parameter("thread_id", "Runs of this thread.", max_length=_MAX_LENGTH),
    Parameter("created_after", "Runs from this time on (ISO 8601 with a time zone).", max_length=_MAX_LENGTH),
    Parameter("created_before", "Runs before this time (ISO 8601 with a time zone).", max_length=_MAX_LENGTH),
)


def run_filter_of(query: Query) -> RunFilter:
    """Raises Invalid naming the parameter."""
    status = query.get("status")
    return RunFilter(
        status=None if status is None else RunStatus(status),
        assistant_id=uuid_of(query, "assistant_id"),
        thread_id=uuid_of(query, "thread_id"),
        created_after=moment_of(query, "created_after"),
        created_before=moment_of(query, "created_before"),
    )
