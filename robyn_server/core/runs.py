"""The states, events and stream modes of runs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from .trace_context import TraceContext

_EVENT_ID = re.compile(r"[0-9]{1,9}-(?P<seq>[0-9]{1,9})")
"""The form of `RunEvent.event_id`; no number in it is too large for a column."""

END = "__end__"
"""The event that closes a run in the events table. It is never sent: the stream closes instead."""

LAST = "__last__"
"""Follows the last event that a worker wrote for a run with its events in Redis.

It is in the events table, and is never sent.
"""

MISSING = "__missing__"
"""A note of a reader, in the place of events that are lost. It is in no table; streams send it as `metadata`."""

ATTEMPT_SEQS = 10_000_000
"""How many numbers the events of an attempt have for themselves when they are in Redis.

The database has it in attempt_seq().
"""


class EventTransport(StrEnum):
    """Where the events of a run are."""

    POSTGRES = "postgres"
    REDIS = "redis"


class RunStatus(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    SUCCESS = "success"
    ERROR = "error"
    TIMEOUT = "timeout"
    INTERRUPTED = "interrupted"

    @property
    def is_ended(self) -> bool:
        return self not in (RunStatus.PENDING, RunStatus.RUNNING)


class ThreadStatus(StrEnum):
    IDLE = "idle"
    BUSY = "busy"
    INTERRUPTED = "interrupted"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class ClaimedRun:
    """A run that a worker has claimed. `attempt` is the fencing token: every write for the run names it."""

    run_id: UUID
    thread_id: UUID
    assistant_id: UUID
    assistant_version: int
    graph_id: str
    owner_id: str
    organization_id: UUID | None
    attempt: int
    metadata: dict[str, Any]
    kwargs: dict[str, Any]
    keep_thread: bool
    resumable: bool
    cancel_action: str | None
    last_seq: int
    waited: float = 0.0
    """Seconds between its due time and its claim, on the database's clock."""

    event_transport: EventTransport = EventTransport.POSTGRES
    assistant_name: str = ""
    auth: dict[str, Any] | None = field(default=None, repr=False)
    """The user that a project's handler authenticated. See `core/access/users.py`."""

    trace: TraceContext | None = None
    """The span under which the run was enqueued."""


@dataclass(frozen=True, slots=True)
class RunEvent:
    """One event of a run: `data` is JSON text. Ordered by `seq` within the run."""

    seq: int
    attempt: int
    event: str
    data: str

    @property
    def event_id(self) -> str:
        """The SSE id: unique and increasing within a run."""
        return f"{self.attempt}-{self.seq}"


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ended. `values` is JSON text: the run's result.

    `thread_values`: the values of the thread, if they are not the result; JSON text, too.
    """

    status: RunStatus
    thread_status: ThreadStatus
    values: bytes | None
    error: dict[str, str] | None = None
    interrupts: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    thread_values: bytes | None = None
    tool_calls: int = 0
    """For the log: results of tools since the last human message."""

    traceback: str | None = None
    """For the log: the user's frames of the error."""

    frames: Sequence[Mapping[str, str | int]] = ()
    """The same frames, for the timeline of the run."""


def parse_event_id(text: str | None) -> int | None:
    """The seq in a Last-Event-ID; -1 for "-1" and "0" (everything); None for no id, or one that this server did not
    issue."""
    if text is None:
        return None
    if text.strip() in {"-1", "0"}:
        return -1
    found = _EVENT_ID.fullmatch(text.strip())
    return int(found["seq"]) if found else None
