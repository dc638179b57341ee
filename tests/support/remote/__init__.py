"""Services that a server connects to: authorization, models, MCP servers, traces, Valkey."""
