"""/runs as a list: the runs of all threads of the caller. The timeline of one run."""

from __future__ import annotations

from robyn_server.core.access.permissions import Operation
from robyn_server.core.ids import parse_uuid
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


@routes.get(
    "/threads/{thread_id}/runs/{run_id}/timeline",
    operation=Operation.RUNS_READ,
    query=(),
    summary="Get the timeline of a run: its waits, attempts, nodes, model and tool calls, and jobs",
)
async def timeline(services: Services, request: Request) -> Response:
    thread_id = parse_uuid(request.path_params["thread_id"], "thread ID")
    run_id = parse_uuid(request.path_params["run_id"], "run ID")
    return json_response(await services.run_timeline.get(request.principal, thread_id, run_id))
