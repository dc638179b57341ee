"""Composition roots of commands that an operator runs: keys, sync, sweep, migrate, backup, restore, storage."""
