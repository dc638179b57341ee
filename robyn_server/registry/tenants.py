"""Which tenant a message is about."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from robyn_server.core.errors import BadRequest, Forbidden
from robyn_server.core.principal import Principal


@dataclass(frozen=True, slots=True)
class Tenants:
    """`development`: the tenant of those who belong everywhere and name none (AUTH_MODE=none with AGENTHALL_DEV_TENANT)."""

    development: UUID | None = None

    def __call__(self, principal: Principal, named: UUID | None = None) -> UUID:
        """The one that is named, else the one that the principal acts for, else its only one, else that of development.

        Raises Forbidden for one that the principal does not belong to, BadRequest (code organization_required) where there is none.
        """
        if named is not None:
            ensure_member(principal, named)
            return named
        tenant = principal.organization_for_new()
        if tenant is None and principal.organizations is None:
            tenant = self.development
        if tenant is None:
            raise BadRequest(
                "It must be clear for which organization: name one with the header X-Organization-Id.",
                code="organization_required",
                field="X-Organization-Id",
            )
        return tenant


def ensure_member(principal: Principal, tenant: UUID) -> None:
    """Raises Forbidden."""
    if not principal.is_member(tenant):
        raise Forbidden(f"You are not a member of organization {tenant}.", field="tenant_id")
