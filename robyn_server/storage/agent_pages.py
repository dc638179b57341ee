"""Pages of what there is one of for each agent: in the order of agent_id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg


@dataclass(frozen=True, slots=True)
class AgentPage:
    """`bodies`: JSON texts. `after`: the agent_id to go on from, where there are more."""

    bodies: list[str]
    after: str | None


def agent_page(rows: Sequence[asyncpg.Record], limit: int) -> AgentPage:
    """From a query that asked for one row more than `limit`."""
    more = len(rows) > limit
    return AgentPage([row["body"] for row in rows[:limit]], rows[limit - 1]["agent_id"] if more else None)
