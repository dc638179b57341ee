"""The ways in which a job ends here, as the params of the message that reports it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agenthall_client.connection.json_text import join_items, join_members

MAX_REASON = 1024
MAX_NAME = 128
MAX_MESSAGE = 8192


@dataclass(frozen=True, slots=True)
class JobEnd:
    """`method`: job.finish, or job.reject, which hands the job back."""

    method: str
    params: Mapping[str, Any]


def result(value: Any) -> JobEnd:
    """`value`: a state update, a text, or None: then the tokens are the answer."""
    return JobEnd("job.finish", {"result": value})


def error(name: str, message: str) -> JobEnd:
    return JobEnd("job.finish", {"error": {"error": name[:MAX_NAME], "message": message[:MAX_MESSAGE]}})


def exception(raised: BaseException) -> JobEnd:
    return error(type(raised).__name__, str(raised) or type(raised).__name__)


def interrupts(values: Sequence[Any], ids: Sequence[str] | None) -> JobEnd:
    """Raises ValueError when there are not as many ids as values, and for what is no JSON."""
    if ids is None:
        given = [join_members({"value": value}) for value in values]
    else:
        given = [join_members({"value": value, "id": name}) for value, name in zip(values, ids, strict=True)]
    return JobEnd("job.finish", {"interrupts": join_items(given)})


def cancelled() -> JobEnd:
    return JobEnd("job.finish", {"cancelled": True})


def handed_back(reason: str) -> JobEnd:
    return JobEnd("job.reject", {"reason": reason[:MAX_REASON]})
