"""Deletion of threads, checkpoints and audit entries whose time is over."""
