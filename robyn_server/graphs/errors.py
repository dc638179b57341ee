"""Errors of running a graph."""

from __future__ import annotations

from robyn_server.core.errors import TooLarge


class StateTooLarge(TooLarge):
    code = "state_too_large"

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"The state of the thread is larger than {max_bytes} bytes (AGENTHALL_MAX_STATE_BYTES).")
