"""A registration as the socket that made it knows it, and which one a message is about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from uuid import UUID

from robyn_server.core.errors import BadRequest, NotFound
from robyn_server.registry.outcomes import missing_registration

from .params import OfRegistration


@dataclass(frozen=True, slots=True)
class Held:
    """A registration that this socket has made."""

    tenant: UUID
    registration_id: UUID
    epoch: int
    agent_id: str
    instance_id: str

    def in_epoch(self, epoch: int | None) -> Held:
        """The same registration in the life that a message names; None: in the one that is held."""
        return self if epoch is None else replace(self, epoch=epoch)

    def is_in(self, tenant: UUID | None) -> bool:
        """Whether it is of the tenant that a message names; None: of any."""
        return tenant is None or tenant == self.tenant


def meant(held: Mapping[UUID, Held], given: OfRegistration, tenant: Callable[[UUID | None], UUID]) -> Held:
    """The registration that a message is about: of those that are held, or another one, which it names with its epoch.

    `tenant`: by which the other one's is found. Raises BadRequest when it must be named, NotFound when there is none.
    """
    if given.registration_id is None:
        return _only(held, given)
    found = held.get(given.registration_id)
    if found is None:
        return _elsewhere(given.registration_id, given.epoch, tenant(given.tenant_id))
    if not found.is_in(given.tenant_id):
        raise missing_registration()
    return found.in_epoch(given.epoch)


def _elsewhere(registration_id: UUID, epoch: int | None, tenant: UUID) -> Held:
    if epoch is None:
        raise BadRequest(
            "epoch: must be named for a registration that this socket has not made",
            code="epoch_required",
            field="epoch",
        )
    return Held(tenant, registration_id, epoch, "", "")


def _only(held: Mapping[UUID, Held], given: OfRegistration) -> Held:
    """Of the tenant that is named, if one is."""
    if not held:
        raise NotFound("This socket has registered nothing.", code="must_register", field="registration_id")
    candidates = [each for each in held.values() if each.is_in(given.tenant_id)]
    if not candidates:
        raise missing_registration()
    if len(candidates) > 1:
        raise BadRequest(
            "This socket has several registrations; name one.",
            code="registration_required",
            field="registration_id",
        )
    return candidates[0].in_epoch(given.epoch)
