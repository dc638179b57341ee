"""Values of the agent registry."""
