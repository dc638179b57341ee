"""The registrations of a session, and which one a message is about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from robyn_server.core.errors import BadRequest, NotFound
from robyn_server.registry.outcomes import missing_registration
from robyn_server.sockets.protocol.params import RegistrationParams


@dataclass(frozen=True, slots=True)
class HeldRegistration:
    """A registration made on this socket."""

    organization_id: UUID
    registration_id: UUID
    epoch: int
    agent_id: str
    instance_id: str

    def at_epoch(self, epoch: int | None) -> HeldRegistration:
        """The registration at the epoch that a message names; None: at its own."""
        return self if epoch is None else replace(self, epoch=epoch)

    def belongs_to(self, organization_id: UUID | None) -> bool:
        """Whether it belongs to the organization that a message names; None: any."""
        return organization_id is None or organization_id == self.organization_id

    def identity(self) -> dict[str, Any]:
        """The members that name it in a message."""
        return {"registration_id": self.registration_id, "epoch": self.epoch}


def resolve_registration(
    registrations: Mapping[UUID, HeldRegistration],
    given: RegistrationParams,
    select_organization: Callable[[UUID | None], UUID],
) -> HeldRegistration:
    """The registration that a message is about: one of the session's, or another, which the message names with its
    epoch.

    `select_organization` finds the organization of the other one. Raises BadRequest when the message must name the
    registration or its epoch, NotFound when there is none.
    """
    if given.registration_id is None:
        return _only(registrations, given)
    found = registrations.get(given.registration_id)
    if found is None:
        return _elsewhere(given.registration_id, given.epoch, select_organization(given.tenant_id))
    if not found.belongs_to(given.tenant_id):
        raise missing_registration()
    return found.at_epoch(given.epoch)


def _elsewhere(registration_id: UUID, epoch: int | None, organization_id: UUID) -> HeldRegistration:
    if epoch is None:
        raise BadRequest(
            "epoch: must be named for a registration that this socket has not made",
            code="epoch_required",
            field="epoch",
        )
    return HeldRegistration(organization_id, registration_id, epoch, "", "")


def _only(registrations: Mapping[UUID, HeldRegistration], given: RegistrationParams) -> HeldRegistration:
    """The only one, of the organization that the message names, if it names one."""
    if not registrations:
        raise NotFound("This socket has registered nothing.", code="must_register", field="registration_id")
    candidates = [each for each in registrations.values() if each.belongs_to(given.tenant_id)]
    if not candidates:
        raise missing_registration()
    if len(candidates) > 1:
        raise BadRequest(
            "This socket has several registrations; name one.",
            code="registration_required",
            field="registration_id",
        )
    return candidates[0].at_epoch(given.epoch)
