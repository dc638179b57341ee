"""The subject of an erasure: a user or an organization."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from .access.principal import SYSTEM_OWNER
from .errors import Invalid


class SubjectType(StrEnum):
    USER = "user"
    ORGANIZATION = "organization"


@dataclass(frozen=True, slots=True)
class Subject:
    """`organization_id`: of a user, the organization whose data go; None: those of all, and the store."""

    type: SubjectType
    id: str
    organization_id: UUID | None = None

    @classmethod
    def user(cls, identity: str, organization_id: UUID | None = None) -> Subject:
        """Raises Invalid for an empty identity, and for that of the server's own rows."""
        if not identity.strip() or identity == SYSTEM_OWNER:
            raise Invalid(f"user: {identity!r} is no user", field="user")
        return cls(SubjectType.USER, identity, organization_id)

    @classmethod
    def organization(cls, organization_id: UUID) -> Subject:
        return cls(SubjectType.ORGANIZATION, str(organization_id))
