"""LangGraph: loading graphs, running them, reading their checkpoints, drawing them.

Only workers, and requests for a state or a drawing, import more of it.
"""
