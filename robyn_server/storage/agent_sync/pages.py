"""Pages of manifests and configurations, in the order of agent_id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg


@dataclass(frozen=True, slots=True)
class AgentPage:
    """`bodies`: JSON texts. `after`: the last agent_id, when there are more."""

    bodies: list[str]
    after: str | None


def agent_page(rows: Sequence[asyncpg.Record], limit: int) -> AgentPage:
    """Make a page of the rows of a query for `limit` + 1 rows."""
    more = len(rows) > limit
    return AgentPage([row["body"] for row in rows[:limit]], rows[limit - 1]["agent_id"] if more else None)
