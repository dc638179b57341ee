"""Graphs, apps, handlers and projects that servers of tests serve."""
