"""The output of `agenthall serve`: the banner, progress, log lines."""
