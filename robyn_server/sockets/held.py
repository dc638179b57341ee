"""A registration as the socket that made it knows it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID


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
