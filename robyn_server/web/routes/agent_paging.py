"""Pages of what there is one of for each agent."""

from __future__ import annotations

from robyn_server.core.errors import Invalid
from robyn_server.web.http import Query
from robyn_server.web.schemas.instances import LONGEST_CURSOR, limit_of


def page_of(query: Query) -> tuple[str | None, int]:
    """After which agent_id, and how many. Raises Invalid, BadRequest."""
    query.ensure_known(("limit", "cursor"))
    cursor = query.get("cursor") or None
    if cursor is not None and len(cursor) > LONGEST_CURSOR:
        raise Invalid("cursor: must be the next_cursor of a page", field="cursor")
    return cursor, limit_of(query)
