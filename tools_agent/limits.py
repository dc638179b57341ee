"""Limits of MCP connections: time, concurrency and size. One set for the process, chosen before the first run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds, unless stated otherwise."""

    connect: float = 5.0
    """Limit for the handshake of a server, and again for the list of its tools."""
    read: float = 60.0
    """Limit for one call of a tool."""
    ping: float = 5.0
    """Interval of the pings to a server while a call is in progress."""
    idle: float = 300.0
    """A session is closed after being unused for this long."""
    tool_list: float = 60.0
    """How long a list of tools counts as fresh."""
    failure: float = 5.0
    """Pause before a failed server is tried again, so that not every run waits for the connect timeout."""
    close: float = 2.0
    """Limit for the orderly end of a session; after it the connection is dropped."""
    calls_in_flight: int = 16
    """Concurrent calls on a session. 500 calls took 6.4 s without limit, 3.5 s with 8, 2.6 s with 16, 4.7 s with 64."""
    answer_bytes: int = 4 * 1024 * 1024
    """Largest answer of a server, and largest event of its stream. Parsing one holds the event loop."""
    tools: int = 256
    """Most tools of a server."""
    result_characters: int = 262_144
    """Text of a tool's result that the model is given."""


_current = Limits()


def current_limits() -> Limits:
    return _current


def set_limits(limits: Limits) -> None:
    """Set the limits of sessions that are opened from now on."""
    global _current  # noqa: PLW0603  one set for each process, chosen by its composition root
    _current = limits
