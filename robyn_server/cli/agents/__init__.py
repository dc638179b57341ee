"""Commands of `agenthall agents`: instances, manifests, configurations, brakes."""
