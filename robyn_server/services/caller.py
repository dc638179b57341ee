"""The caller of a request: which identity the server sees, and what it may do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from robyn_server.core.access.permissions import PERMISSIONS, Operation, Role, can_ever
from robyn_server.core.access.principal import Principal
from robyn_server.core.errors import BadRequest
from robyn_server.registry import OrganizationSelector

_OF_NOBODY = frozenset({Operation.NOT_OFFERED, Operation.DATA_ERASE})
"""Operations without a route of their own."""


class CallerService:
    """`auth_mode`: how the server verifies credentials."""

    def __init__(self, auth_mode: str, select_organization: OrganizationSelector) -> None:
        self._auth_mode = auth_mode
        self._select_organization = select_organization

    def describe(self, principal: Principal) -> Mapping[str, Any]:
        """Return the identity, the organizations and the operations of the caller.

        `organizations` is None for a member of all. `organization_id`: the one that the registry's requests act for.
        """
        members = principal.organizations
        expires_at = principal.expires_at
        return {
            "identity": principal.identity,
            "kind": principal.kind.value,
            "auth_mode": self._auth_mode,
            "is_admin": principal.is_admin,
            "organizations": None if members is None else sorted(map(str, members)),
            "organization_id": _text(self._organization(principal)),
            "expires_at": None if expires_at is None else expires_at.isoformat(),
            "operations": [each.value for each in Operation if self._may(principal, each)],
        }

    def _may(self, principal: Principal, operation: Operation) -> bool:
        needed = PERMISSIONS[operation]
        if operation in _OF_NOBODY or needed.role is Role.ANYONE:
            return False
        is_member = principal.is_admin or principal.organizations is None or bool(principal.organizations)
        return can_ever(principal, operation) and (is_member or not needed.in_organization)

    def _organization(self, principal: Principal) -> UUID | None:
        try:
            return self._select_organization(principal)
        except BadRequest:  # none, or several
            return None


def _text(organization_id: UUID | None) -> str | None:
    return None if organization_id is None else str(organization_id)
