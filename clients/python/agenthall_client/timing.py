"""How long things may take."""

from __future__ import annotations

from dataclasses import dataclass

from . import backoff


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds.

    `answer`: of a question to the server; a connection that takes longer is given up. The server's own limit is 10.
    `keepalive`: a ping is sent so often, and must be answered within as long; so a half-open connection is noticed within twice that.
    `patience`: how long a question waits for a connection. `ready`: how long `async with` waits for the first; None: for ever.
    `backoff_first`, `backoff_most`: between attempts to connect, with full jitter.
    `steady`: a connection that held so long has the backoff begin anew. `leave`: for saying goodbye.
    """

    answer: float = 15.0
    keepalive: float = 5.0
    patience: float = 30.0
    ready: float | None = 30.0
    backoff_first: float = backoff.FIRST
    backoff_most: float = backoff.MOST
    steady: float = 10.0
    leave: float = 5.0
