"""One file per resource; each has a `routes` table."""

from __future__ import annotations

from robyn_server.web.http.routing import Route


def all_routes() -> list[Route]:
    """The routes of all resources, with those that answer 405. The edge adds the system routes."""
    from . import (
        agents,
        assistants,
        audit,
        connections,
        keys,
        run_search,
        runs,
        store,
        thread_streams,
        threads,
    )
    from .registry import brakes, configurations, instances, jobs, manifests, scaling, tickets, watch
    from .server import doctor, me, metrics, not_offered, overview

    return [
        *assistants.routes,
        *threads.routes,
        *thread_streams.routes,
        *runs.routes,
        *run_search.routes,
        *store.routes,
        *agents.routes,
        *instances.routes,
        *jobs.routes,
        *manifests.routes,
        *configurations.routes,
        *brakes.routes,
        *scaling.routes,
        *watch.routes,
        *me.routes,
        *metrics.routes,
        *overview.routes,
        *doctor.routes,
        *keys.routes,
        *audit.routes,
        *connections.routes,
        *tickets.routes,
        *not_offered.routes,
    ]
