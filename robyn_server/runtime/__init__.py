"""Things that start and stop: the supervisor and the embedded database, the worker and its neighbours.

What the supervisor imports is the standard library alone: it lives as long as the server and must stay small.
"""
