"""/runs as a list: the runs of all threads of the caller."""

from __future__ import annotations

from robyn_server.core.access.permissions import Operation
from robyn_server.services import Services
from robyn_server.web.http.messages import Request, Response, json_response
from robyn_server.web.http.routing import RouteTable
from robyn_server.web.schemas.queries import cursor_of, limit_of
from robyn_server.web.schemas.run_search import RUNS, run_filter_of

routes = RouteTable(tag="Runs")


@routes.get(
    "/runs",
    operation=Operation.RUNS_SEARCH,
    query=RUNS,
    summary="List runs of all threads, newest first, by `status`, `assistant_id`, `thread_id` and time",
)
async def search(services: Services, request: Request) -> Response:
    query = request.query
    return json_response(
        await services.run_search.search(request.principal, run_filter_of(query), cursor_of(query), limit_of(query))
    )
