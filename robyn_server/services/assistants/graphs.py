"""Use cases of the graph of an assistant: its drawing and its schemas."""

from __future__ import annotations

from typing import Any

from robyn_server.core.access.principal import Principal
from robyn_server.graphs.introspection import GraphIntrospection
from robyn_server.storage.assistants import ResolvedAssistant

from .service import AssistantService


class AssistantGraphService:
    """Methods take an assistant's UUID, or the name of a graph or an agent.

    They return JSON, and raise Invalid, BadRequest, NotFound, Unservable, Unavailable.
    """

    def __init__(self, service: AssistantService, introspection: GraphIntrospection) -> None:
        self._service = service
        self._introspection = introspection

    async def drawing(self, principal: Principal, name: str, xray: bool | int) -> bytes:
        found = await self._find(principal, name)
        return await self._introspection.drawing(found.graph_id, _config(principal, found), xray)

    async def schemas(self, principal: Principal, name: str) -> bytes:
        found = await self._find(principal, name)
        return await self._introspection.schemas(found.graph_id, _config(principal, found))

    async def subgraph_schemas(self, principal: Principal, name: str, namespace: str | None, *, recurse: bool) -> bytes:
        found = await self._find(principal, name)
        return await self._introspection.subgraph_schemas(
            found.graph_id, _config(principal, found), namespace, recurse=recurse
        )

    async def _find(self, principal: Principal, name: str) -> ResolvedAssistant:
        found = await self._service.find_named(principal, name, "Not Found")
        self._service.ensure_served(found.graph_id, found.assistant_id)
        return found


def _config(principal: Principal, found: ResolvedAssistant) -> dict[str, Any]:
    """The config that a run of the assistant has, without what only a run has."""
    names = {
        "graph_id": found.graph_id,
        "assistant_id": str(found.assistant_id),
        "user_id": principal.identity,
        "langgraph_auth_user_id": principal.identity,
    }
    return {**found.config, "configurable": found.config.get("configurable", {}) | names}
