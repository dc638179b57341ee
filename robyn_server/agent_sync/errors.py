"""Errors of agent sync, in the tree of `core/errors.py`.

Unservable
└── AgentRejected             one agent's row cannot be served until it is corrected
CatalogueUnavailable
├── ContractBroken            the database refuses the query: a table, a column or a permission is missing
└── CatalogueAbsent           there is no catalogue in that database: none of its tables exists
"""

from __future__ import annotations

from uuid import UUID

from robyn_server.core.errors import CatalogueUnavailable, Unservable


class AgentRejected(Unservable):
    """`field` is the column, as `table.column` or `table.column.key`, or as `schema.view.column` where the catalogue is
    a view.

    The message names agent and column, and repeats no value.
    """

    code = "agent_rejected"

    def __init__(self, agent_id: UUID, column: str, problem: str) -> None:
        super().__init__(f"Agent {agent_id} cannot be served: {column}: {problem}", field=column)
        self.agent_id, self.column, self.problem = agent_id, column, problem


class ContractBroken(CatalogueUnavailable):
    code = "catalogue_contract"


class CatalogueAbsent(CatalogueUnavailable):
    code = "catalogue_absent"
