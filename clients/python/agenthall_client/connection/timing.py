"""Time limits and intervals of a client."""

from __future__ import annotations

from dataclasses import dataclass

from . import backoff


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds.

    `answer`: limit for one reply; a connection that takes longer is dropped. The server's own limit is 10.
    `keepalive`: interval of pings, and limit for each pong. A half-open connection is detected within twice this time.
    `patience`: limit for a request, including the wait for a connection.
    `ready`: limit for the first connection in `async with`; None: no limit.
    `backoff_first`, `backoff_most`: first and largest ceiling of the delay between attempts to connect.
    `steady`: a connection that lasted this long resets the backoff.
    `leave`: limit for each step of closing.
    """

    answer: float = 15.0
    keepalive: float = 5.0
    patience: float = 30.0
    ready: float | None = 30.0
    backoff_first: float = backoff.INITIAL_SECONDS
    backoff_most: float = backoff.MAX_SECONDS
    steady: float = 10.0
    leave: float = 5.0
