"""Runs: what clients start, cancel, find and read, and where the time of one went."""
