"""A child reports that it is ready by one line on an inherited pipe."""

from __future__ import annotations

import os

READY_FD = "AGENTHALL_READY_FD"
"""Environment variable: the file descriptor of the pipe's writing end. Unset without a supervisor."""


def announce_ready() -> None:
    """Write one line to the supervisor and close the pipe. Does nothing without a supervisor, or the second time."""
    number = os.environ.pop(READY_FD, None)
    if number is None:
        return
    with os.fdopen(int(number), "w") as pipe:
        pipe.write("ready\n")
