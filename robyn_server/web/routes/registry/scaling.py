"""/agents/scaling: how much work the instances of agents have, and how many instances that calls for."""

from __future__ import annotations

from robyn_server.core.access.permissions import Operation
from robyn_server.services import Services
from robyn_server.web.http.messages import Request, Response, json_response
from robyn_server.web.http.routing import RouteTable
from robyn_server.web.schemas.queries import SCALING, agent_page_of

routes = RouteTable(tag="Registry", query=())


@routes.get(
    "/agents/scaling",
    operation=Operation.SCALING_READ,
    query=SCALING,
    summary="Get scaling signals of the organization's agents (`agent_id`, `limit`, `cursor`)",
)
async def search(services: Services, request: Request) -> Response:
    organization_id, agent_id = services.select_organization(request.principal), request.query.get("agent_id")
    page = agent_page_of(request.query)
    return json_response(await services.scaling.search(request.principal, organization_id, agent_id, *page))
