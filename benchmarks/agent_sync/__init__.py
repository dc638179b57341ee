"""Benchmark of agent sync: `python -m benchmarks.agent_sync`."""
