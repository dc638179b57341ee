"""Benchmark of the agent registry: `python -m benchmarks.registry`."""
