"""Whole resources of the API that this server does not have yet. They answer 501 and stand in the README as such."""

from __future__ import annotations

from robyn_server.web.routing import RouteTable

store = RouteTable(tag="Store")
store.not_offered("PUT", "/store/items", "Put an item")
store.not_offered("GET", "/store/items", "Get an item")
store.not_offered("DELETE", "/store/items", "Delete an item")
store.not_offered("POST", "/store/items/search", "Search items")
store.not_offered("POST", "/store/namespaces", "List namespaces")

protocols = RouteTable(tag="MCP and A2A")
protocols.not_offered("POST", "/mcp", "Assistants as MCP tools")
protocols.not_offered("POST", "/a2a/{assistant_id}", "Agent to agent")
protocols.not_offered("GET", "/a2a/{assistant_id}", "Agent card")

routes = [*store, *protocols]
