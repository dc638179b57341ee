"""Errors of agent sync, in the tree of `core/errors.py`.

Unservable
└── AgentRejected             one agent's row says something that cannot be served; the row must be mended
CatalogueUnavailable
├── ContractBroken            the database refuses the query: a table, a column or a permission is missing
└── CatalogueAbsent           there is no catalogue in that database at all: none of its tables
"""

from __future__ import annotations

from uuid import UUID

from robyn_server.core.errors import CatalogueUnavailable, Unservable


class AgentRejected(Unservable):
    """`field` is the column, as `table.column` or `table.column.key`. The message names agent and column, and repeats no value."""

    code = "agent_rejected"

    def __init__(self, agent_id: UUID, column: str, problem: str) -> None:
        super().__init__(f"Agent {agent_id} cannot be served: {column}: {problem}", field=column)
        self.agent_id = agent_id


class ContractBroken(CatalogueUnavailable):
    code = "catalogue_contract"


class CatalogueAbsent(CatalogueUnavailable):
    code = "catalogue_absent"
