"""/agents/manifests: types of agents. Only administrators write them."""

from __future__ import annotations

from robyn_server.core.access.permissions import Operation
from robyn_server.services import Services
from robyn_server.web.http.messages import Request, Response, empty, json_response
from robyn_server.web.http.routing import RouteTable
from robyn_server.web.schemas.queries import AGENT_PAGE, agent_page_of
from robyn_server.web.schemas.registry.manifests import ManifestBody

routes = RouteTable(tag="Registry", query=())

_ONE = "/agents/manifests/{agent_id}"


@routes.get(
    "/agents/manifests",
    operation=Operation.MANIFESTS_READ,
    query=AGENT_PAGE,
    summary="List manifests: those of the organization and published ones (`limit`, `cursor`)",
)
async def search(services: Services, request: Request) -> Response:
    return json_response(await services.manifests.search(request.principal, *agent_page_of(request.query)))


@routes.get(_ONE, operation=Operation.MANIFESTS_READ, summary="Get a manifest")
async def get(services: Services, request: Request) -> Response:
    return json_response(await services.manifests.get(request.principal, request.path_params["agent_id"]))


@routes.put(
    _ONE,
    operation=Operation.MANIFESTS_WRITE,
    body=ManifestBody,
    other_statuses=(201,),
    summary="Write a whole manifest; 201 if it is new. For administrators",
)
async def put(services: Services, request: Request, body: ManifestBody) -> Response:
    agent_id = request.path_params["agent_id"]
    manifest, is_new = await services.manifests.upsert(request.principal, agent_id, body.all_fields())
    return json_response(manifest, status=201 if is_new else 200)


@routes.patch(
    _ONE,
    operation=Operation.MANIFESTS_WRITE,
    body=ManifestBody,
    summary="Change fields of a manifest. For administrators",
)
async def update(services: Services, request: Request, body: ManifestBody) -> Response:
    agent_id = request.path_params["agent_id"]
    return json_response(await services.manifests.update(request.principal, agent_id, body.given_fields()))


@routes.delete(
    _ONE,
    operation=Operation.MANIFESTS_WRITE,
    success=204,
    summary="Delete a manifest that no organization has configured. For administrators",
)
async def delete(services: Services, request: Request) -> Response:
    await services.manifests.delete(request.principal, request.path_params["agent_id"])
    return empty()
