"""Use cases of the audit trail: administrators read who changed which row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from robyn_server.core.access.permissions import Operation, require
from robyn_server.core.access.principal import Principal
from robyn_server.core.errors import Invalid
from robyn_server.registry import OrganizationSelector
from robyn_server.storage.audit_log import AuditFilter, AuditLog, AuditPosition

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MAX_DIGITS = 18


class AuditService:
    def __init__(self, log: AuditLog, select_organization: OrganizationSelector) -> None:
        self._log = log
        self._select_organization = select_organization

    async def search(
        self, principal: Principal, where: AuditFilter, cursor: str | None, limit: int
    ) -> Mapping[str, Any]:
        """Return a page, the newest entry first: `entries`, and `next_cursor` if there may be more.

        Administrators see all entries. Others need the scope `audit`, and see those of one of their organizations.
        Raises Forbidden, Invalid, BadRequest (no organization selected).
        """
        require(principal, Operation.AUDIT_READ)
        after = None if cursor is None else _position_of(cursor)
        page = await self._log.search(principal, self._visible(principal, where), after=after, limit=limit)
        next_cursor = None if page.after is None else _cursor_of(page.after)
        return {"entries": [orjson.Fragment(body) for body in page.bodies], "next_cursor": next_cursor}

    def _visible(self, principal: Principal, where: AuditFilter) -> AuditFilter:
        if principal.is_admin:
            return replace(where, organization_id=where.organization_id or principal.acting_for)
        return replace(where, organization_id=self._select_organization(principal, where.organization_id))


def _cursor_of(position: AuditPosition) -> str:
    return f"{(position.at - _EPOCH) // _MICROSECOND}.{position.audit_id}"


def _position_of(cursor: str) -> AuditPosition:
    """Raises Invalid for a text that is no cursor of a page."""
    parts = cursor.split(".")
    if len(parts) != 2 or not all(_is_number(part) for part in parts):  # noqa: PLR2004 - a time and an id
        raise Invalid("cursor: must be the next_cursor of a page", field="cursor")
    try:
        return AuditPosition(_EPOCH + int(parts[0]) * _MICROSECOND, int(parts[1]))
    except OverflowError:
        raise Invalid("cursor: must be the next_cursor of a page", field="cursor") from None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS
