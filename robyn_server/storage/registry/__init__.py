"""Rows of the agent registry, in schema `mcp`."""
