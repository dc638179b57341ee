"""The agent that the server runs by default: a model, a system prompt and MCP tools. Does not depend on the server."""
