"""Pace events, so that those of a busy process go together: a worker's flushes, and a web process's reads.

The first event after a silence is written at once. Fewer and larger flushes cost the worker, the database and the
readers, who are woken by each, much less. A read wakes a thread for each stream that it has events for, which costs
more than the events do.
"""

from __future__ import annotations

_PAUSE = 0.005
_PAUSE_PER_EVENT = 0.0002
_LONGEST_PAUSE = 0.025
_FEWEST_STREAMS = 16
_MOST_GROUPS = 40
PAUSE_BETWEEN_STREAMS = 0.006
"""Seconds between two groups of streams that get events of one read."""


def pause_after(events: int) -> float:
    """Seconds between a flush of so many events and the next one."""
    return min(_LONGEST_PAUSE, _PAUSE + _PAUSE_PER_EVENT * events)


def streams_at_once(streams: int) -> int:
    """How many of so many streams get their events before a pause. Few streams get them without one."""
    return max(_FEWEST_STREAMS, streams // _MOST_GROUPS)
