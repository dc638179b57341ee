"""How a child tells the supervisor that it is ready: one line on an inherited pipe."""

from __future__ import annotations

import os

READY_FD = "AGENTHALL_READY_FD"
"""Environment variable: the number of the pipe's writing end. Unset when nobody listens."""


def announce_ready() -> None:
    """Write one line to the supervisor and close the pipe. Does nothing without a supervisor, or the second time."""
    number = os.environ.pop(READY_FD, None)
    if number is None:
        return
    with os.fdopen(int(number), "w") as pipe:
        pipe.write("ready\n")
