"""Composition roots: settings → storage → services → web, sockets or worker. The only package that imports all others.

Each command has a module with its function, `run_<module>`. A process imports only its own.
"""
