"""Credentials and connections of users to MCP servers, encrypted."""
