"""Instances that dialled in: registrations, search, leases, history and health checks."""
