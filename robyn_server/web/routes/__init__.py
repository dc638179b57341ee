"""One file per resource; each has a `routes` table."""

from __future__ import annotations

from robyn_server.web.routing import Route


def all_routes() -> list[Route]:
    """The resources' routes, and those that are refused by name. The edge adds its own: health, version, description."""
    from . import (
        agents,
        assistants,
        configurations,
        instances,
        keys,
        manifests,
        metrics,
        runs,
        threads,
        tickets,
        unbuilt,
        watch,
    )

    return [
        *assistants.routes,
        *threads.routes,
        *runs.routes,
        *agents.routes,
        *instances.routes,
        *manifests.routes,
        *configurations.routes,
        *watch.routes,
        *metrics.routes,
        *keys.routes,
        *tickets.routes,
        *unbuilt.routes,
    ]
