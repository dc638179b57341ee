"""Jobs of instances: creation and lists, what instances say about them, and what waits and sweeps."""
