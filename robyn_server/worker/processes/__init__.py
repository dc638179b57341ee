"""Processes that a worker starts for single runs and for tenants."""
