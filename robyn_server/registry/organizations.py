"""Select the organization of a request, and check membership."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from robyn_server.core.access.principal import Principal
from robyn_server.core.errors import BadRequest, Forbidden


@dataclass(frozen=True, slots=True)
class OrganizationSelector:
    """`development`: the default for principals that are members of every organization (AUTH_MODE=none,
    AGENTHALL_DEV_TENANT).

    `named_by`: the header or parameter in which a caller names an organization, for error messages.
    """

    development: UUID | None = None
    named_by: str = "X-Organization-Id"

    def __call__(self, principal: Principal, named: UUID | None = None) -> UUID:
        """Return the organization that is named, else the one the principal acts for, else its only one, else
        `development`.

        Raises Forbidden if the principal is not a member, BadRequest (code organization_required) if none is selected.
        """
        if named is not None:
            ensure_member(principal, named)
            return named
        organization_id = principal.acting_for or self._default(principal.organizations)
        if organization_id is None:
            raise BadRequest(
                f"No organization selected. Set {self.named_by}.", code="organization_required", field=self.named_by
            )
        return organization_id

    def _default(self, organizations: frozenset[UUID] | None) -> UUID | None:
        if organizations is None:
            return self.development
        return next(iter(organizations)) if len(organizations) == 1 else None


def ensure_member(principal: Principal, organization_id: UUID) -> None:
    """Raises Forbidden."""
    if not principal.is_member(organization_id):
        raise Forbidden(f"You are not a member of organization {organization_id}.", field="tenant_id")
