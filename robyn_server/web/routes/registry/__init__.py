"""Routes of the agent registry: instances, manifests, configurations, brakes, watches, tickets."""
