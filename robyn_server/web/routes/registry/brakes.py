"""/agents/brakes: sets of instances that are not ended, because many of them lapsed at once."""

from __future__ import annotations

from robyn_server.core.access.permissions import Operation
from robyn_server.services import Services
from robyn_server.web.http.messages import Request, Response, empty, json_response
from robyn_server.web.http.routing import RouteTable
from robyn_server.web.schemas.queries import BRAKES, brake_page_of

routes = RouteTable(tag="Registry", query=())


@routes.get(
    "/agents/brakes",
    operation=Operation.BRAKES_READ,
    query=BRAKES,
    summary="List the organization's brakes: types of agents of which many instances lapsed (`limit`, `offset`)",
)
async def search(services: Services, request: Request) -> Response:
    organization_id, (limit, offset) = services.select_organization(request.principal), brake_page_of(request.query)
    return json_response(await services.brakes.search(request.principal, organization_id, limit=limit, offset=offset))


@routes.delete(
    "/agents/brakes/{agent_id}",
    operation=Operation.BRAKES_RELEASE,
    success=204,
    summary="Release a brake: its stale instances are gone for good",
)
async def release(services: Services, request: Request) -> Response:
    organization_id = services.select_organization(request.principal)
    await services.brakes.release(request.principal, organization_id, request.path_params["agent_id"])
    return empty()
