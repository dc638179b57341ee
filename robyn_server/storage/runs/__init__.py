"""Runs: the queue of workers, lists and single runs of callers, and the times of one."""
