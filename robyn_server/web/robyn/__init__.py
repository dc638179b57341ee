"""The only modules that know Robyn: its server, and the life cycle of its process."""
