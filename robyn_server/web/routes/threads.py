"""/threads"""

from __future__ import annotations

from uuid import UUID

from robyn_server.core.access.permissions import Operation
from robyn_server.core.errors import Invalid
from robyn_server.core.ids import parse_uuid
from robyn_server.core.threads.state_select import StateSelect, parse_select
from robyn_server.services import Services
from robyn_server.web.http.messages import Request, Response, empty, json_response
from robyn_server.web.http.routing import RouteTable
from robyn_server.web.schemas.threads import (
    LARGEST_HISTORY,
    HistoryQuery,
    StateAtCheckpoint,
    StateUpdate,
    ThreadCount,
    ThreadCreate,
    ThreadPatch,
    ThreadPrune,
    ThreadSearch,
)

from .paging import page_response

routes = RouteTable(tag="Threads")


@routes.post("/threads", operation=Operation.THREADS_CREATE, body=ThreadCreate, summary="Create a thread")
async def create(services: Services, request: Request, body: ThreadCreate) -> Response:
    thread = await services.threads.create(
        request.principal,
        body.thread_id,
        body.metadata or {},
        body.if_exists or "raise",
        body.lifetime(),
        body.steps(),
    )
    return json_response(thread)


@routes.post("/threads/search", operation=Operation.THREADS_SEARCH, body=ThreadSearch, summary="Search threads")
async def search(services: Services, request: Request, body: ThreadSearch) -> Response:
    page = await services.threads.search(
        request.principal,
        body.where(),
        limit=body.limit,
        offset=body.offset,
        sort_by=body.sort_by or "updated_at",
        ascending=body.sort_order == "asc",
        select=body.select,
        extract=body.extracts(),
    )
    return page_response(page)


@routes.post("/threads/count", operation=Operation.THREADS_SEARCH, body=ThreadCount, summary="Count threads")
async def count(services: Services, request: Request, body: ThreadCount) -> Response:
    return json_response(await services.threads.count(request.principal, body.where()))


@routes.post(
    "/threads/prune",
    operation=Operation.THREADS_PRUNE,
    body=ThreadPrune,
    summary="Delete threads, or all their states but the latest",
)
async def prune(services: Services, request: Request, body: ThreadPrune) -> Response:
    count = await services.threads.prune(request.principal, body.thread_ids, body.strategy)
    return json_response({"pruned_count": count})


@routes.post("/threads/{thread_id}/copy", operation=Operation.THREADS_COPY, summary="Copy a thread")
async def copy(services: Services, request: Request) -> Response:
    return json_response(await services.threads.copy(request.principal, _id(request), request.metadata))


@routes.get("/threads/{thread_id}", operation=Operation.THREADS_READ, summary="Get a thread")
async def get(services: Services, request: Request) -> Response:
    included = {name for each in request.query.get_all("include") for name in each.split(",")}
    return json_response(await services.threads.get(request.principal, _id(request), with_ttl="ttl" in included))


@routes.patch(
    "/threads/{thread_id}",
    operation=Operation.THREADS_UPDATE,
    body=ThreadPatch,
    other_statuses=(204,),
    summary="Update a thread's metadata and its ttl",
)
async def update(services: Services, request: Request, body: ThreadPatch) -> Response:
    thread = await services.threads.update(request.principal, _id(request), body.metadata or {}, body.lifetime())
    return empty() if "return=minimal" in request.headers.get("prefer", "") else json_response(thread)


@routes.delete("/threads/{thread_id}", operation=Operation.THREADS_DELETE, summary="Delete a thread", success=204)
async def delete(services: Services, request: Request) -> Response:
    await services.threads.delete(request.principal, _id(request))
    return empty()


@routes.get("/threads/{thread_id}/state", operation=Operation.THREADS_READ, summary="Get a thread's state")
async def get_state(services: Services, request: Request) -> Response:
    state = await services.threads.state(
        request.principal,
        _id(request),
        checkpoint=None,
        subgraphs=request.query.boolean("subgraphs"),
        select=_select(request),
    )
    return json_response(state)


@routes.get(
    "/threads/{thread_id}/state/{checkpoint_id}",
    operation=Operation.THREADS_READ,
    summary="Get a thread's state at a checkpoint",
)
async def get_state_at(services: Services, request: Request) -> Response:
    state = await services.threads.state(
        request.principal,
        _id(request),
        checkpoint={"checkpoint_id": str(parse_uuid(request.path_params["checkpoint_id"], "checkpoint ID"))},
        subgraphs=request.query.boolean("subgraphs"),
        select=_select(request),
    )
    return json_response(state)


@routes.post(
    "/threads/{thread_id}/state/checkpoint",
    operation=Operation.THREADS_READ,
    body=StateAtCheckpoint,
    summary="Get a thread's state at a checkpoint",
)
async def post_state_at(services: Services, request: Request, body: StateAtCheckpoint) -> Response:
    state = await services.threads.state(
        request.principal,
        _id(request),
        checkpoint=body.checkpoint.model_dump(exclude_none=True),
        subgraphs=body.subgraphs,
        select=parse_select(body.select),
    )
    return json_response(state)


@routes.post(
    "/threads/{thread_id}/state",
    operation=Operation.THREADS_UPDATE,
    body=StateUpdate,
    summary="Update a thread's state",
)
async def update_state(services: Services, request: Request, body: StateUpdate) -> Response:
    written = await services.threads.update_state(
        request.principal, _id(request), body.values, as_node=body.as_node, checkpoint=body.chosen()
    )
    return json_response(written)


@routes.get("/threads/{thread_id}/history", operation=Operation.THREADS_READ, summary="Get a thread's past states")
async def get_history(services: Services, request: Request) -> Response:
    before = request.query.get("before")
    before_id = str(parse_uuid(before, "checkpoint ID")) if before else None
    history = await services.threads.history(
        request.principal,
        _id(request),
        limit=request.query.integer("limit", 10, 1, LARGEST_HISTORY),
        before={"checkpoint_id": before_id} if before_id else None,
        select=_select(request),
    )
    return json_response(history)


@routes.post(
    "/threads/{thread_id}/history",
    operation=Operation.THREADS_READ,
    body=HistoryQuery,
    summary="Get a thread's past states",
)
async def post_history(services: Services, request: Request, body: HistoryQuery) -> Response:
    history = await services.threads.history(
        request.principal,
        _id(request),
        limit=body.limit,
        before=body.before_checkpoint(),
        metadata=body.metadata,
        checkpoint=None if body.checkpoint is None else body.checkpoint.model_dump(exclude_none=True),
        select=parse_select(body.select),
    )
    return json_response(history)


@routes.get(
    "/threads/{thread_id}/storage",
    operation=Operation.THREADS_READ,
    query=(),
    summary="Get the bytes that a thread's states take",
)
async def get_storage(services: Services, request: Request) -> Response:
    return json_response(await services.threads.storage(request.principal, _id(request)))


def _id(request: Request) -> UUID:
    try:
        return parse_uuid(request.path_params["thread_id"], "thread ID")
    except Invalid as error:
        error.field = "thread_id"
        raise


def _select(request: Request) -> StateSelect | None:
    return parse_select(request.query.get_all("select"))


routes.not_offered("PATCH", "/threads/{thread_id}/state", "Change the metadata of a state")
routes.not_offered("POST", "/threads/{thread_id}/commands", "Send a protocol v2 command")
routes.not_offered("POST", "/threads/{thread_id}/stream/events", "Stream protocol v2 events")
