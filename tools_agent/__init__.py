"""The agent that the server serves by default: a model, its prompt and its MCP tools. Knows nothing of the server."""
