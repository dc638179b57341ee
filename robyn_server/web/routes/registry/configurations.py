"""/agents/configurations: an organization's settings for types of agents."""

from __future__ import annotations

from robyn_server.core.access.permissions import Operation
from robyn_server.services import Services
from robyn_server.web.http.messages import Request, Response, empty, json_response
from robyn_server.web.http.routing import RouteTable
from robyn_server.web.schemas.queries import AGENT_PAGE, agent_page_of
from robyn_server.web.schemas.registry.configurations import ConfigurationPatch, ConfigurationPut

routes = RouteTable(tag="Registry", query=())

_ONE = "/agents/configurations/{agent_id}"


@routes.get(
    "/agents/configurations",
    operation=Operation.CONFIGURATIONS_SEARCH,
    query=AGENT_PAGE,
    summary="List the organization's configurations (`limit`, `cursor`)",
)
async def search(services: Services, request: Request) -> Response:
    organization_id = services.select_organization(request.principal)
    return json_response(
        await services.configurations.search(request.principal, organization_id, *agent_page_of(request.query))
    )


@routes.get(_ONE, operation=Operation.CONFIGURATIONS_READ, summary="Get the organization's configuration of an agent")
async def get(services: Services, request: Request) -> Response:
    organization_id = services.select_organization(request.principal)
    return json_response(await services.configurations.get(request.principal, organization_id, _agent(request)))


@routes.put(
    _ONE,
    operation=Operation.CONFIGURATIONS_WRITE,
    body=ConfigurationPut,
    other_statuses=(201,),
    summary="Write a whole configuration; 201 if it is new",
)
async def put(services: Services, request: Request, body: ConfigurationPut) -> Response:
    principal, organization_id = request.principal, services.select_organization(request.principal)
    configuration, is_new = await services.configurations.upsert(
        principal, organization_id, _agent(request), body.all_fields()
    )
    return json_response(configuration, status=201 if is_new else 200)


@routes.patch(
    _ONE, operation=Operation.CONFIGURATIONS_CHANGE, body=ConfigurationPatch, summary="Change fields of a configuration"
)
async def update(services: Services, request: Request, body: ConfigurationPatch) -> Response:
    principal, organization_id = request.principal, services.select_organization(request.principal)
    fields = body.given_fields()
    return json_response(await services.configurations.update(principal, organization_id, _agent(request), fields))


@routes.delete(
    _ONE, operation=Operation.CONFIGURATIONS_CHANGE, success=204, summary="Delete a configuration and its instances"
)
async def delete(services: Services, request: Request) -> Response:
    organization_id = services.select_organization(request.principal)
    await services.configurations.delete(request.principal, organization_id, _agent(request))
    return empty()


def _agent(request: Request) -> str:
    return request.path_params["agent_id"]
