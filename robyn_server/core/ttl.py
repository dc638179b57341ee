"""Lifetimes, of items of the store and of threads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from .errors import Invalid

LONGEST_TTL = timedelta(days=36_500)


class PruneStrategy(StrEnum):
    """`delete`: the thread with its runs and states. `keep_latest`: all states but the latest."""

    DELETE = "delete"
    KEEP_LATEST = "keep_latest"


@dataclass(frozen=True, slots=True)
class ThreadTtl:
    """A thread's lifetime, and what is done when it is over."""

    lifetime: timedelta
    strategy: PruneStrategy = PruneStrategy.DELETE


def check_ttl(minutes: float | None) -> timedelta | None:
    """A lifetime. Raises Invalid."""
    if minutes is None:
        return None
    try:
        lifetime = timedelta(minutes=minutes)
    except (OverflowError, ValueError):
        lifetime = LONGEST_TTL * 2
    if not timedelta(0) < lifetime <= LONGEST_TTL:
        raise Invalid(f"ttl: more than 0 and at most {LONGEST_TTL.days * 24 * 60} minutes", field="ttl")
    return lifetime
