"""Servers of ours, as processes and within the test."""
