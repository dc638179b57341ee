"""Processes of `agenthall` as forks of one that has imported what they need."""
