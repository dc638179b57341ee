"""/me: the caller, as the server sees it."""

from __future__ import annotations

from robyn_server.core.access.permissions import Operation
from robyn_server.services import Services
from robyn_server.web.http.messages import Request, Response, json_response
from robyn_server.web.http.routing import RouteTable

routes = RouteTable(tag="System", query=())


@routes.get("/me", operation=Operation.IDENTITY_READ, summary="Get the caller's identity, organizations and operations")
async def describe(services: Services, request: Request) -> Response:
    return json_response(services.caller.describe(request.principal))
