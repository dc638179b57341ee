"""One file per resource; each has a `routes` table."""

from __future__ import annotations

from robyn_server.web.routing import Route


def all_routes() -> list[Route]:
    """The resources' routes, and those that are refused by name. The edge adds its own: health, version, description."""
    from . import agents, assistants, runs, threads, unbuilt

    return [*assistants.routes, *threads.routes, *runs.routes, *agents.routes, *unbuilt.routes]
