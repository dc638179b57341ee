"""/overview and /metrics/history: the installation at a glance, for operators."""

from __future__ import annotations

from robyn_server.core.access.permissions import Operation
from robyn_server.core.metric_points import Window
from robyn_server.services import Services
from robyn_server.web.http.messages import Request, Response, json_response
from robyn_server.web.http.parameters import Parameter
from robyn_server.web.http.routing import RouteTable

routes = RouteTable(tag="System", operation=Operation.METRICS_READ)
_WINDOW = Parameter(
    "window", "The last hour in minutes, or the last day in quarters of an hour.", choices=tuple(Window)
)


@routes.get("/overview", query=(), summary="Get the numbers of this moment: runs, instances, database, processes")
async def now(services: Services, request: Request) -> Response:
    return json_response(await services.overview.now(request.principal))


@routes.get("/metrics/history", query=(_WINDOW,), summary="Get the metrics of the last hour or day (`window`)")
async def history(services: Services, request: Request) -> Response:
    window = Window(request.query.get("window") or Window.HOUR)
    return json_response(await services.overview.history(request.principal, window))
