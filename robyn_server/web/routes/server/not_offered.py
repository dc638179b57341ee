"""Resources of the LangGraph API that are not built yet. They answer 405 and are listed in the documentation."""

from __future__ import annotations

from robyn_server.web.http.routing import RouteTable

protocols = RouteTable(tag="MCP and A2A")
protocols.not_offered("POST", "/mcp", "Assistants as MCP tools")
protocols.not_offered("POST", "/a2a/{assistant_id}", "Agent to agent")
protocols.not_offered("GET", "/a2a/{assistant_id}", "Agent card")

routes = [*protocols]
