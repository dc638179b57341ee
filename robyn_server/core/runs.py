"""The words of a run: what it may be asked for, what it may become."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

_EVENT_ID = re.compile(r"[0-9]{1,9}-(?P<seq>[0-9]{1,9})")
"""As `RunEvent.event_id` writes it; no number in it is too large for a column."""

END = "__end__"
"""The event that closes a run in the events table. It is never sent: the stream closes instead."""


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


STREAM_MODES = ("values", "updates", "messages", "messages-tuple", "custom")
"""Stream modes that are offered."""

STREAM_MODES_TO_COME = ("tasks", "checkpoints", "events", "debug")
"""Modes of the API that are refused by name, with 501."""


@dataclass(frozen=True, slots=True)
class ClaimedRun:
    """A run that a worker holds. `attempt` is the fencing token: every write for the run names it."""

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
    """Seconds from when it was due until it was claimed, by the database's clock."""


@dataclass(frozen=True, slots=True)
class RunEvent:
    """One event of a run: `data` is JSON text. Ordered by `seq` within the run."""

    seq: int
    attempt: int
    event: str
    data: str

    @property
    def event_id(self) -> str:
        """The SSE id: unique and rising within a run."""
        return f"{self.attempt}-{self.seq}"


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ended. `values` and `result` are JSON text: the thread's last values, and what `wait` and `join` answer."""

    status: RunStatus
    thread_status: ThreadStatus
    values: bytes | None
    error: dict[str, str] | None = None
    interrupts: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)


def parse_event_id(text: str | None) -> int | None:
    """The seq in a Last-Event-ID; -1 for "-1" (everything); None for no id, and for one that this server never gave."""
    if text is None:
        return None
    if text.strip() == "-1":
        return -1
    found = _EVENT_ID.fullmatch(text.strip())
    return int(found["seq"]) if found else None
