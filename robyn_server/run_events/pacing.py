"""Pace the flushes of events, so that those of a busy worker are written together.

The first event after a silence is written at once. Fewer and larger flushes cost the worker, the database and the
readers, who are woken by each, much less.
"""

from __future__ import annotations

_PAUSE = 0.005
_PAUSE_PER_EVENT = 0.0002
_LONGEST_PAUSE = 0.025


def pause_after(events: int) -> float:
    """Seconds between a flush of so many events and the next one."""
    return min(_LONGEST_PAUSE, _PAUSE + _PAUSE_PER_EVENT * events)
