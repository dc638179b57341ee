"""Which parts of a thread an answer has: `select` and `extract`."""
