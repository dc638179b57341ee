"""Leases of registered instances: batched heartbeats, the sweep that ends lapsed leases, and the stream of changes."""
