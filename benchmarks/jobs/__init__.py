"""Benchmarks of jobs: `python -m benchmarks.jobs`, and `python -m benchmarks.jobs.kills` for a long test."""
