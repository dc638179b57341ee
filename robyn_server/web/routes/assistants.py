"""/assistants"""

from __future__ import annotations

from robyn_server.core.access.permissions import Operation
from robyn_server.services import Services
from robyn_server.web.http.messages import Request, Response, empty, json_response
from robyn_server.web.http.routing import RouteTable
from robyn_server.web.schemas.assistants import (
    AssistantCount,
    AssistantCreate,
    AssistantPatch,
    AssistantSearch,
    LatestVersion,
    VersionSearch,
)
from robyn_server.web.schemas.queries import xray_of

from .paging import page_response

routes = RouteTable(tag="Assistants")


@routes.post("/assistants", operation=Operation.ASSISTANTS_CREATE, body=AssistantCreate, summary="Create an assistant")
async def create(services: Services, request: Request, body: AssistantCreate) -> Response:
    return json_response(await services.assistants.create(request.principal, body.request()))


@routes.post(
    "/assistants/search", operation=Operation.ASSISTANTS_SEARCH, body=AssistantSearch, summary="Search assistants"
)
async def search(services: Services, request: Request, body: AssistantSearch) -> Response:
    page = await services.assistants.search(
        request.principal,
        body.where(),
        limit=body.limit,
        offset=body.offset,
        sort_by=body.sort_by or "created_at",
        ascending=body.sort_order == "asc",
        select=body.select,
    )
    return page_response(page)


@routes.post(
    "/assistants/count", operation=Operation.ASSISTANTS_SEARCH, body=AssistantCount, summary="Count assistants"
)
async def count(services: Services, request: Request, body: AssistantCount) -> Response:
    return json_response(await services.assistants.count(request.principal, body.where()))


@routes.get("/assistants/{assistant_id}", operation=Operation.ASSISTANTS_READ, summary="Get an assistant")
async def get(services: Services, request: Request) -> Response:
    return json_response(await services.assistants.get(request.principal, _name(request)))


@routes.patch(
    "/assistants/{assistant_id}",
    operation=Operation.ASSISTANTS_UPDATE,
    body=AssistantPatch,
    summary="Update an assistant",
)
async def update(services: Services, request: Request, body: AssistantPatch) -> Response:
    return json_response(await services.assistants.update(request.principal, _name(request), body.change()))


@routes.delete(
    "/assistants/{assistant_id}", operation=Operation.ASSISTANTS_DELETE, summary="Delete an assistant", success=204
)
async def delete(services: Services, request: Request) -> Response:
    with_threads = request.query.boolean("delete_threads")
    await services.assistants.delete(request.principal, _name(request), with_threads=with_threads)
    return empty()


@routes.post(
    "/assistants/{assistant_id}/versions",
    operation=Operation.ASSISTANTS_READ,
    body=VersionSearch,
    summary="List an assistant's versions",
)
async def versions(services: Services, request: Request, body: VersionSearch) -> Response:
    found = await services.assistant_versions.search(
        request.principal, _name(request), body.metadata or {}, limit=body.limit, offset=body.offset
    )
    return json_response(found)


@routes.post(
    "/assistants/{assistant_id}/latest",
    operation=Operation.ASSISTANTS_UPDATE,
    body=LatestVersion,
    summary="Set an assistant back to a version",
)
async def set_latest(services: Services, request: Request, body: LatestVersion) -> Response:
    return json_response(await services.assistant_versions.restore(request.principal, _name(request), body.version))


@routes.get(
    "/assistants/{assistant_id}/graph",
    operation=Operation.ASSISTANTS_READ,
    summary="Get the drawing of an assistant's graph",
)
async def get_graph(services: Services, request: Request) -> Response:
    drawing = await services.assistant_graphs.drawing(request.principal, _name(request), xray_of(request.query))
    return json_response(drawing)


@routes.get(
    "/assistants/{assistant_id}/schemas",
    operation=Operation.ASSISTANTS_READ,
    summary="Get the schemas of an assistant's graph",
)
async def get_schemas(services: Services, request: Request) -> Response:
    return json_response(await services.assistant_graphs.schemas(request.principal, _name(request)))


@routes.get(
    "/assistants/{assistant_id}/tools",
    operation=Operation.ASSISTANTS_READ,
    query=(),
    summary="Ask an assistant's MCP servers for their tools, with the caller's credentials",
)
async def get_tools(services: Services, request: Request) -> Response:
    return json_response(await services.assistant_tools.get(request.principal, _name(request)))


@routes.get(
    "/assistants/{assistant_id}/subgraphs",
    operation=Operation.ASSISTANTS_READ,
    summary="Get the schemas of an assistant's subgraphs",
)
@routes.get(
    "/assistants/{assistant_id}/subgraphs/{namespace}",
    operation=Operation.ASSISTANTS_READ,
    summary="Get the schemas of one subgraph",
)
async def get_subgraphs(services: Services, request: Request) -> Response:
    found = await services.assistant_graphs.subgraph_schemas(
        request.principal,
        _name(request),
        request.path_params.get("namespace"),
        recurse=request.query.boolean("recurse"),
    )
    return json_response(found)


def _name(request: Request) -> str:
    """An assistant's UUID, the name of an agent, or, where the service takes it, of a graph."""
    return request.path_params["assistant_id"]
