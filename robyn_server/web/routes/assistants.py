"""/assistants"""

from __future__ import annotations

from uuid import UUID

from robyn_server.core.ids import parse_uuid
from robyn_server.services import Services
from robyn_server.web.http import Request, Response, empty, json_response
from robyn_server.web.routing import RouteTable
from robyn_server.web.schemas.assistants import AssistantCreate, AssistantPatch, AssistantSearch

from .paging import page_response

routes = RouteTable(tag="Assistants")


@routes.post("/assistants", body=AssistantCreate, summary="Create an assistant")
async def create(services: Services, request: Request, body: AssistantCreate) -> Response:
    return json_response(await services.assistants.create(request.principal, body.request()))


@routes.post("/assistants/search", body=AssistantSearch, summary="Search assistants")
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


@routes.get("/assistants/{assistant_id}", summary="Get an assistant")
async def get(services: Services, request: Request) -> Response:
    return json_response(await services.assistants.get(request.principal, _id(request)))


@routes.patch("/assistants/{assistant_id}", body=AssistantPatch, summary="Update an assistant")
async def update(services: Services, request: Request, body: AssistantPatch) -> Response:
    return json_response(await services.assistants.update(request.principal, _id(request), body.change()))


@routes.delete("/assistants/{assistant_id}", summary="Delete an assistant", success=204)
async def delete(services: Services, request: Request) -> Response:
    with_threads = request.query.boolean("delete_threads")
    await services.assistants.delete(request.principal, _id(request), with_threads=with_threads)
    return empty()


def _id(request: Request) -> UUID:
    return parse_uuid(request.path_params["assistant_id"], "assistant ID")


routes.not_offered("POST", "/assistants/count", "Count assistants")
routes.not_offered("GET", "/assistants/{assistant_id}/graph", "Get an assistant's graph")
routes.not_offered("GET", "/assistants/{assistant_id}/schemas", "Get an assistant's schemas")
routes.not_offered("GET", "/assistants/{assistant_id}/subgraphs", "Get an assistant's subgraphs")
routes.not_offered("GET", "/assistants/{assistant_id}/subgraphs/{namespace}", "Get an assistant's subgraph")
routes.not_offered("POST", "/assistants/{assistant_id}/versions", "List an assistant's versions")
routes.not_offered("POST", "/assistants/{assistant_id}/latest", "Set an assistant's latest version")
