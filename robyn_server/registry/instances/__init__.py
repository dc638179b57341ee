"""Instances that dialled in: use cases of their registrations, cordons, history and health checks."""
