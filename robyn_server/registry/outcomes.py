"""What became of a message about a registration, as an error where it was not done."""

from __future__ import annotations

from robyn_server.core.errors import Conflict, Gone, NotFound
from robyn_server.core.registry import Outcome


def ensure_done(outcome: Outcome) -> None:
    """Raises Conflict (code superseded), Gone (code must_register), NotFound."""
    if outcome is Outcome.SUPERSEDED:
        raise Conflict(
            "This epoch is over: the instance has registered again.", code=Outcome.SUPERSEDED.value, field="epoch"
        )
    if outcome is Outcome.MUST_REGISTER:
        raise Gone(
            "The registration is over, or has never had this epoch; register again.", code=Outcome.MUST_REGISTER.value
        )
    if outcome is Outcome.UNKNOWN:
        raise missing_registration()


def missing_registration() -> NotFound:
    return NotFound("There is no such registration.", field="registration_id")
