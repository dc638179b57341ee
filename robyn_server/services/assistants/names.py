"""Find the assistant that a name means: its UUID, the graph of a default assistant, or an agent of the registry.

Rules
  1. A UUID costs no statement, and neither does a graph. An agent costs one.
  2. An agent is searched in the organization that the request names, else in all organizations of the principal. A name
     that several of them have is refused.
  3. An agent of another organization is answered like a name that nobody has.
"""

from __future__ import annotations

from uuid import UUID

from robyn_server.core.access.principal import Principal
from robyn_server.core.errors import BadRequest, Invalid
from robyn_server.core.ids import default_assistant_id, find_uuid
from robyn_server.graphs.loading.served_graphs import Graphs
from robyn_server.storage.registry.agent_names import AgentNames


class AssistantNames:
    """`development`: the organization of principals that are members of all (AGENTHALL_DEV_TENANT)."""

    def __init__(self, agents: AgentNames, graphs: Graphs, development: UUID | None = None) -> None:
        self._agents = agents
        self._graphs = graphs
        self._development = development

    async def id_of(self, principal: Principal, name: str) -> UUID:
        """The assistant's id. Raises Invalid for a name that means none, BadRequest for one that means several."""
        found = find_uuid(name)
        if found is None and self.is_graph(name):
            return default_assistant_id(name)
        found = found or await self.find_agent(principal, name)
        if found is None:
            raise Invalid(
                f"Invalid assistant: '{name}'. Must be either:\n- A valid assistant UUID, or\n"
                f"- One of the registered graphs: {', '.join(self._graphs.ids)}, or\n"
                "- The agent_id of an agent of your organization",
                field="assistant_id",
            )
        return found

    async def id_in_path(self, principal: Principal, name: str) -> UUID:
        """As `id_of`, for routes that take no graph: LangGraph's server refuses its name there."""
        found = find_uuid(name)
        if found is None and not self.is_graph(name):
            found = await self.find_agent(principal, name)
        if found is None:
            raise Invalid("Invalid assistant ID: must be a UUID", field="assistant ID")
        return found

    def is_graph(self, name: str) -> bool:
        return name in self._graphs.ids and find_uuid(name) is None

    async def find_agent(self, principal: Principal, agent_id: str) -> UUID | None:
        """The id of an agent's assistant, also of a disabled agent. Raises BadRequest for a name that means several."""
        named = principal.acting_for or (self._development if principal.organizations is None else None)
        found = await self._agents.find(principal, agent_id, named)
        if len(found) > 1 and found[1].is_enabled:
            raise BadRequest(
                f"Several of your organizations have an agent '{agent_id}'; name one with the header "
                "X-Organization-Id.",
                code="organization_required",
                field="X-Organization-Id",
            )
        return found[0].assistant_id if found else None
