"""The store of long-term memory: its names, filters and options."""
