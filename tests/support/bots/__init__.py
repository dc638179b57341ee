"""Instances that dial in, and servers that give them jobs."""
