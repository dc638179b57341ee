"""What became of a message about a registration, as an error where it was not done."""

from __future__ import annotations

from robyn_server.core.errors import Conflict, Gone, NotFound
from robyn_server.core.registry import Outcome

WHY = {
    Outcome.SUPERSEDED: "This epoch is over: the instance has registered again.",
    Outcome.MUST_REGISTER: "The registration is over, or has never had this epoch; register again.",
}


def ensure_done(outcome: Outcome) -> None:
    """Raises Conflict (code superseded), Gone (code must_register), NotFound."""
    if outcome is Outcome.SUPERSEDED:
        raise Conflict(WHY[outcome], code=outcome.value, field="epoch")
    if outcome is Outcome.MUST_REGISTER:
        raise Gone(WHY[outcome], code=outcome.value)
    if outcome is Outcome.UNKNOWN:
        raise missing_registration()


def missing_registration() -> NotFound:
    return NotFound("There is no such registration.", field="registration_id")
