"""The event stream of a run: the worker writes it, web processes read it.

Another transport would replace these two ends.
"""
