"""/agents/instances: agents that run elsewhere register here, beat, and go; others find them."""

from __future__ import annotations

from uuid import UUID

from robyn_server.core.errors import NotFound
from robyn_server.core.ids import find_uuid
from robyn_server.registry.counted import count_status
from robyn_server.registry.outcomes import ensure_done
from robyn_server.services import Services
from robyn_server.web.http import Request, Response, empty, json_response
from robyn_server.web.routing import RouteTable
from robyn_server.web.schemas.instances import (
    HeartbeatBody,
    LeavingBody,
    RegisterBody,
    UpdateBody,
    rendered,
    rendered_beat,
)
from robyn_server.web.schemas.queries import (
    INSTANCES,
    LEAVING,
    cursor_of,
    ensure_none,
    filter_of,
    leaving_of,
    limit_of,
)
from robyn_server.web.validation import parse_body

routes = RouteTable(tag="Registry", query=())

_ONE = "/agents/instances/{registration_id}"


@routes.post(
    "/agents/instances",
    body=RegisterBody,
    success=201,
    counted=count_status,
    also=(200,),
    summary="Register an instance; 200 when it was known",
)
async def register(services: Services, request: Request, body: RegisterBody) -> Response:
    asked = body.asked(request.headers.get("idempotency-key"))
    registered = await services.instances.register(request.principal, services.tenants(request.principal), asked)
    return json_response(rendered(registered), status=201 if registered.is_new else 200)


@routes.get(
    "/agents/instances",
    query=INSTANCES,
    summary="Discover instances, and the `position` to watch from, by `agent_id`, `capability` and `tag` (all of them), `zone`, `health`, `status`, `version`, `free_slots`",
)
async def search(services: Services, request: Request) -> Response:
    wanted, after, limit = filter_of(request.query), cursor_of(request.query), limit_of(request.query)
    tenant = services.tenants(request.principal)
    position = await services.watch.last_position()  # before the list: what changes meanwhile comes after it
    page = await services.instances.search(request.principal, tenant, wanted, after, limit)
    return json_response({**page, "position": position})


@routes.get(_ONE, summary="Get an instance")
async def get(services: Services, request: Request) -> Response:
    return await _shown(services, request, services.tenants(request.principal))


@routes.post(f"{_ONE}/heartbeat", body=HeartbeatBody, summary="Keep an instance's lease alive")
async def heartbeat(services: Services, request: Request, body: HeartbeatBody) -> Response:
    beat = body.beat(services.tenants(request.principal), _id(request))
    answer = await services.instances.heartbeat(request.principal, beat)
    ensure_done(answer.outcome)
    return json_response(rendered_beat(beat, answer))


@routes.post(f"{_ONE}/drain", body=LeavingBody, summary="Give an instance nothing new; it finishes what it has")
async def drain(services: Services, request: Request, body: LeavingBody) -> Response:
    tenant = services.tenants(request.principal)
    ensure_done(
        await services.instances.drain(request.principal, tenant, _id(request), body.epoch, body.reason),
    )
    return await _shown(services, request, tenant)


@routes.patch(_ONE, body=UpdateBody, summary="Change what an instance says of itself")
async def update(services: Services, request: Request, body: UpdateBody) -> Response:
    tenant = services.tenants(request.principal)
    ensure_done(await services.instances.update(request.principal, tenant, _id(request), body.epoch, body.change))
    return await _shown(services, request, tenant)


@routes.delete(
    _ONE,
    success=204,
    query=LEAVING,
    summary="Deregister an instance (`epoch` and `reason` in the query or in a body)",
)
async def deregister(services: Services, request: Request) -> Response:
    leaving, tenant = _leaving(request), services.tenants(request.principal)
    ensure_done(
        await services.instances.deregister(request.principal, tenant, _id(request), leaving.epoch, leaving.reason),
    )
    return empty()


async def _shown(services: Services, request: Request, tenant: UUID) -> Response:
    return json_response(await services.instances.get(request.principal, tenant, _id(request)))


def _id(request: Request) -> UUID:
    """What is no UUID is no registration's id."""
    found = find_uuid(request.path_params["registration_id"])
    if found is None:
        raise NotFound("There is no such registration.", field="registration_id")
    return found


def _leaving(request: Request) -> LeavingBody:
    if not request.body:
        return leaving_of(request.query)
    ensure_none(request.query)
    body = parse_body(LeavingBody, request.body)
    assert isinstance(body, LeavingBody)  # noqa: S101 - what was asked for
    return body
