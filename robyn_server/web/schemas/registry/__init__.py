"""Request bodies of the registry: instances, jobs, manifests, configurations, tickets."""
