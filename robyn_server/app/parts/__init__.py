"""Parts that several processes are built from: connections, policies, services."""
