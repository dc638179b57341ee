"""The error for a message of an instance that does not have the job, or does not have it any more."""

from __future__ import annotations

from robyn_server.core.errors import Conflict

FENCED = "fenced"


def is_fenced(error: BaseException) -> bool:
    return isinstance(error, Conflict) and error.code == FENCED


def fenced() -> Conflict:
    return Conflict(
        "The job is not this instance's: it was given to another one, has ended, or has another attempt or epoch.",
        code=FENCED,
        field="job_id",
    )
