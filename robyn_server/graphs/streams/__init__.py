"""Stream modes that are more than what LangGraph yields."""
