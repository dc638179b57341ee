"""The worker process: claims runs, executes their graphs, and renews their leases."""
