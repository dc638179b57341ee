"""From the name of a graph to a graph that runs: imports, factories, contexts."""
