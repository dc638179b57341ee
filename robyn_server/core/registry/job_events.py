"""Events of a job as an instance sends them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .jobs import JobRef


@dataclass(frozen=True, slots=True)
class SentEvent:
    """`data` is JSON text."""

    event: str
    data: str

    @property
    def size(self) -> int:
        """Bytes, of which a window and a job may have a limited number."""
        return len(self.data.encode())


@dataclass(frozen=True, slots=True)
class JobEvents:
    """Events with consecutive numbers from `first_seq`."""

    ref: JobRef
    first_seq: int
    events: Sequence[SentEvent]

    @property
    def last_seq(self) -> int:
        return self.first_seq + len(self.events) - 1
