"""/doctor: the checks of `agenthall doctor`, about this server."""

from __future__ import annotations

from robyn_server.core.access.permissions import Operation
from robyn_server.services import Services
from robyn_server.web.http.messages import Request, Response, json_response
from robyn_server.web.http.routing import RouteTable

routes = RouteTable(tag="System", query=())


@routes.get(
    "/doctor",
    operation=Operation.DOCTOR_READ,
    summary="Check settings, database, graphs and models",
    has_deadline=False,  # the process that checks has its own, which is longer
)
async def check(services: Services, request: Request) -> Response:
    return json_response(await services.doctor.check(request.principal))
