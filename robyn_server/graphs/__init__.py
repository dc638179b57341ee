"""LangGraph: loading graphs, running them, reading their checkpoints. Only workers, and requests for state, import more of it."""
