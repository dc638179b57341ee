"""The principal of a request: the identity and permissions of the caller.

A principal is made once per request and travels on the request object and in arguments, never in a context variable. A
variable that outlives its request would attribute one caller's work to another.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from robyn_server.core.errors import BadRequest, Forbidden

from .grants import Grants
from .scopes import PRIVILEGED, Scope

ADMIN: str = Scope.ADMIN
"""The permission that sees and changes everything, whatever its owner and organization."""

SYSTEM_OWNER = "system"
"""Owner of rows that the server creates: default assistants and assistants synced from the catalogue."""


class Kind(StrEnum):
    USER = "user"
    SERVICE = "service"
    INSTANCE = "instance"


@dataclass(frozen=True, slots=True)
class Principal:
    """`organizations` is None for a member of every organization."""

    identity: str
    organizations: frozenset[UUID] | None = frozenset()
    permissions: frozenset[str] = frozenset()
    kind: Kind = Kind.USER
    acting_for: UUID | None = field(default=None)
    """The organization that the request named with `X-Organization-Id`."""
    limited: bool = False
    """True for an API key with scopes: it may do only what they name."""
    expires_at: datetime | None = field(default=None, compare=False)
    """When its credentials expire, with a time zone; None: never.

    Ignored in comparisons: fresh credentials are the same principal.
    """
    grants: Grants | None = field(default=None, repr=False)
    """The rows that the handlers of a project let it reach. None: those of the rules above."""
    agents: frozenset[str] | None = None
    """The agent_ids whose instances and configurations it may write in the registry. None: any."""
    request_id: str | None = field(default=None, repr=False, compare=False)
    """The request that it made, for the audit trail; None: it did not come with a request that changes something."""
    assistants: frozenset[UUID] | None = None
    """The only assistants that it may run. None: any that it may read."""
    auth: str | None = field(default=None, repr=False)
    """The user that a project's handler authenticated, with what its runs need, as JSON text.

    See `core/access/users.py`.
    """
    token: str | None = field(default=None, repr=False, compare=False)
    """The verified token of the request. None for API keys, and where a project's handler authenticates."""

    @property
    def is_admin(self) -> bool:
        return ADMIN in self.permissions

    def may(self, scope: Scope) -> bool:
        """Whether the principal has `scope`, by the rules of `core/access/scopes.py`."""
        return self.is_admin or scope in self.permissions or not (self.limited or scope in PRIVILEGED)

    def require_agent(self, agent_id: str) -> None:
        """Raises Forbidden for an agent that the principal's key is not bound to."""
        if self.agents is not None and agent_id not in self.agents:
            bound = ", ".join(sorted(self.agents))
            raise Forbidden(
                f"This key is bound to {bound}. It may not write agent {agent_id!r}.",
                code="agent_not_allowed",
                field="agent_id",
            )

    def require_assistant(self, assistant_id: UUID, template_id: UUID | None = None) -> None:
        """Raises Forbidden for an assistant that the principal's key is not bound to.

        `template_id`: of a user's copy, the agent's.
        """
        if self.assistants is not None and self.assistants.isdisjoint({assistant_id, template_id}):
            raise Forbidden(
                f"This key may not run assistant {assistant_id}. It is bound to others.",
                code="assistant_not_allowed",
                field="assistant_id",
            )

    def is_member(self, organization: UUID) -> bool:
        """Administrators are members of every organization."""
        return self.is_admin or self.organizations is None or organization in self.organizations

    def in_organization(self, organization: UUID, *, named_by: str = "X-Organization-Id") -> Principal:
        """The same principal, acting for `organization`.

        Raises Forbidden, with the field `named_by`, when it is not a member.
        """
        if not self.is_member(organization):
            raise Forbidden(f"You are not a member of organization {organization}.", field=named_by)
        return replace(self, acting_for=organization)

    def organization_for_new(self) -> UUID | None:
        """The organization of a new resource: the one that the request named, else the only one, else none.

        Raises BadRequest when there are several and the request named none.
        """
        if self.acting_for is not None:
            return self.acting_for
        if self.organizations is None or not self.organizations:
            return None
        if len(self.organizations) > 1:
            raise BadRequest(
                "You belong to several organizations; name one with the header X-Organization-Id.",
                code="organization_required",
                field="X-Organization-Id",
            )
        return next(iter(self.organizations))


LOCAL = Principal("local", organizations=None, permissions=frozenset({ADMIN}))
"""The only principal of `AUTH_MODE=none`."""
