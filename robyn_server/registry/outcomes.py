"""Turn the outcome of a message about a registration into an error."""

from __future__ import annotations

from robyn_server.core.errors import Conflict, Gone, NotFound
from robyn_server.core.registry.instances import Outcome

MESSAGES = {
    Outcome.SUPERSEDED: "The instance has registered again: this epoch is over.",
    Outcome.MUST_REGISTER: "The registration has ended, or never had this epoch. Register again.",
}


def raise_for_outcome(outcome: Outcome) -> None:
    """Raise Conflict (code superseded), Gone (code must_register) or NotFound, unless the outcome is OK."""
    if outcome is Outcome.SUPERSEDED:
        raise Conflict(MESSAGES[outcome], code=outcome.value, field="epoch")
    if outcome is Outcome.MUST_REGISTER:
        raise Gone(MESSAGES[outcome], code=outcome.value)
    if outcome is Outcome.UNKNOWN:
        raise missing_registration()


def missing_registration() -> NotFound:
    return NotFound("There is no such registration.", field="registration_id")
