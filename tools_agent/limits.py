"""How long and how much the agent's MCP connections may take. One set for the process, chosen before the first run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds, unless said otherwise."""

    connect: float = 5.0
    """Until a server has answered the handshake, and again until it has listed its tools."""
    read: float = 60.0
    """One call of a tool."""
    ping: float = 5.0
    """While a call lasts, its server is asked so often whether it still lives."""
    idle: float = 300.0
    """A session that nobody used this long is closed."""
    tool_list: float = 60.0
    """A list of tools counts as fresh."""
    failure: float = 5.0
    """A server that failed is not dialled again, so that not every run pays the connect timeout."""
    close: float = 2.0
    """The polite end of a session; after it the connection is cut."""
    calls_in_flight: int = 16
    """Calls at once on one session. 500 calls took 6.4 s without a cap, 3.5 s with 8, 2.6 s with 16, 4.7 s with 64."""


_current = Limits()


def current_limits() -> Limits:
    return _current


def set_limits(limits: Limits) -> None:
    """Applies to sessions opened from now on."""
    global _current  # noqa: PLW0603  one process has one set, and its composition root chooses it
    _current = limits
