"""Addresses of databases and servers: values that are checked before anything connects."""
