"""Which tenant a message is about."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from robyn_server.core.errors import BadRequest, Forbidden
from robyn_server.core.principal import Principal


@dataclass(frozen=True, slots=True)
class Tenants:
    """`development`: the tenant of those who belong everywhere and name none (AUTH_MODE=none with AGENTHALL_DEV_TENANT).

    `named_by`: where a caller names one, as an error tells him. Over HTTP it is a header, on a socket a parameter.
    """

    development: UUID | None = None
    named_by: str = "X-Organization-Id"

    def __call__(self, principal: Principal, named: UUID | None = None) -> UUID:
        """The one that is named, else the one that the principal acts for, else its only one, else that of development.

        Raises Forbidden for one that the principal does not belong to, BadRequest (code organization_required) where there is none.
        """
        if named is not None:
            ensure_member(principal, named)
            return named
        tenant = principal.acting_for or self._only(principal.organizations)
        if tenant is None:
            raise BadRequest(
                f"It must be clear for which organization: name one with {self.named_by}.",
                code="organization_required",
                field=self.named_by,
            )
        return tenant

    def _only(self, organizations: frozenset[UUID] | None) -> UUID | None:
        if organizations is None:
            return self.development
        return next(iter(organizations)) if len(organizations) == 1 else None


def ensure_member(principal: Principal, tenant: UUID) -> None:
    """Raises Forbidden."""
    if not principal.is_member(tenant):
        raise Forbidden(f"You are not a member of organization {tenant}.", field="tenant_id")
