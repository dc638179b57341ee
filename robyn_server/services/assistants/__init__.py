"""Use cases of assistants: the rows, their versions, their graphs, and the agents behind them."""
