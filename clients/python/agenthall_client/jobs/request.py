"""A job as the server offers it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any


@dataclass(kw_only=True, eq=False)
class JobRequest:
    """The work that a job asks for.

    `attempt` counts the accepted executions of the job. `idempotency_key` is the same for all of them.
    `input`: the state of the thread. `resume`: the answer to an earlier interrupt of this thread, else None.
    `config`: has `configurable` and `metadata`. `user`: has `identity`. `stream_mode`: the events that are read.
    `traceparent`, `tracestate`: the span of the run that waits, for spans below it (W3C Trace Context). None: the
    server does not trace.
    """

    job_id: str
    attempt: int
    idempotency_key: str
    agent_id: str
    run_id: str | None = None
    thread_id: str | None = None
    input: dict[str, Any] = field(default_factory=dict)
    resume: Any = None
    config: dict[str, Any] = field(default_factory=dict)
    context: dict[str, Any] = field(default_factory=dict)
    user: dict[str, Any] = field(default_factory=dict)
    stream_mode: list[str] = field(default_factory=list)
    deadline: datetime | None = None
    accept_within_seconds: float = 2.0
    traceparent: str | None = None
    tracestate: str | None = None

    @property
    def messages(self) -> list[Any]:
        """The conversation, in the form of LangChain: objects with `type` and `content`."""
        return list(self.input.get("messages") or [])

    def members(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(JobRequest)}

    def to_json(self) -> dict[str, Any]:
        """The job as JSON, for programs in other languages."""
        return self.members() | {"deadline": None if self.deadline is None else self.deadline.isoformat()}


def parse_offer(offer: Mapping[str, Any]) -> dict[str, Any]:
    """The members of an offer that this version knows. One that is null has its default."""
    given = {each.name: offer[each.name] for each in fields(JobRequest) if offer.get(each.name) is not None}
    if "deadline" in given:
        given["deadline"] = datetime.fromisoformat(given["deadline"])
    return given
