"""Errors of running a graph."""

from __future__ import annotations

from typing import Any

from robyn_server.core.errors import NotFound, TooLarge


class ReportedError(Exception):
    """An error that ends a run under the name that its reporter gave it, such as an instance's error of a job.

    `body`: the error as clients get it, {error, message, …}.
    """

    def __init__(self, error: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.body: dict[str, Any] = {"error": error, "message": message, **more}


class StateTooLarge(TooLarge):
    code = "state_too_large"

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"The state of the thread is larger than {max_bytes} bytes (AGENTHALL_MAX_STATE_BYTES).")


class CheckpointNotFound(NotFound):
    """LangGraph would begin with an empty state, and make that the latest one."""

    def __init__(self, checkpoint_id: str) -> None:
        super().__init__(
            f"The thread has no checkpoint {checkpoint_id}; it may have been pruned.", field="checkpoint_id"
        )
