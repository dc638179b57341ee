"""/agents/instances: agents that run elsewhere register, send heartbeats and leave; clients discover them."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

from robyn_server.core.access.permissions import Operation
from robyn_server.core.ids import find_uuid
from robyn_server.core.registry.instances import Registration
from robyn_server.core.registry.jobs import JobRef
from robyn_server.registry.instances.registration_metrics import count_status
from robyn_server.registry.outcomes import missing_registration, raise_for_outcome
from robyn_server.services import Services
from robyn_server.web.http.messages import Request, Response, empty, json_response
from robyn_server.web.http.routing import RouteTable
from robyn_server.web.http.validation import parse_body
from robyn_server.web.schemas.queries import (
    INSTANCES,
    LEAVING,
    cursor_of,
    ensure_none,
    filter_of,
    leaving_of,
    limit_of,
)
from robyn_server.web.schemas.registry.instances import (
    CordonBody,
    HeartbeatBody,
    LeavingBody,
    RegisterBody,
    UpdateBody,
    render_heartbeat,
    render_registration,
)

routes = RouteTable(tag="Registry", query=())

_ONE = "/agents/instances/{registration_id}"


@routes.post(
    "/agents/instances",
    operation=Operation.INSTANCES_REGISTER,
    body=RegisterBody,
    success=201,
    count_status=count_status,
    other_statuses=(200,),
    summary="Register an instance; 201 if it is new, 200 if it was known",
)
async def register(services: Services, request: Request, body: RegisterBody) -> Response:
    organization_id = services.select_organization(request.principal)
    registration = await services.instances.register(
        request.principal, organization_id, body.to_request(request.headers.get("idempotency-key"))
    )
    jobs = {} if body.slots is None else {"jobs": await _open_slots(services, request, registration, body)}
    answer = render_registration(registration) | jobs
    return json_response(answer, status=201 if registration.is_new else 200)


async def _open_slots(
    services: Services, request: Request, registration: Registration, body: RegisterBody
) -> list[dict[str, Any]]:
    """State the slots of an instance that polls, and return the jobs that go on."""
    organization_id, which = services.select_organization(request.principal), registration.registration_id
    opened = await services.instance_jobs.open_slots(
        request.principal, organization_id, which, registration.epoch, body.slots or 0, body.jobs or (), polls=True
    )
    return [each.to_dict() for each in opened.continued]


@routes.get(
    "/agents/instances",
    operation=Operation.INSTANCES_SEARCH,
    query=INSTANCES,
    summary="Discover instances by `agent_id`, `capabilities`, `tags`, `zone`, `health`, `status`, `version`, `free_slots`; the answer has the `position` to watch from",
)
async def search(services: Services, request: Request) -> Response:
    instance_filter, after, limit = filter_of(request.query), cursor_of(request.query), limit_of(request.query)
    organization_id = services.select_organization(request.principal)
    # Read before the list, so that watching from this position misses nothing.
    position = await services.instance_events.last_position()
    page = await services.instances.search(request.principal, organization_id, instance_filter, after, limit)
    return json_response({**page, "position": position})


@routes.get(_ONE, operation=Operation.INSTANCES_READ, summary="Get an instance")
async def get(services: Services, request: Request) -> Response:
    return await _get(services, request, services.select_organization(request.principal))


@routes.get(
    f"{_ONE}/history",
    operation=Operation.INSTANCES_READ,
    summary="Get the history of an instance: registrations, circuit breaker, jobs and events",
)
async def history(services: Services, request: Request) -> Response:
    organization_id = services.select_organization(request.principal)
    found = await services.instance_histories.get(request.principal, organization_id, registration_id_of(request))
    return json_response(found)


@routes.post(
    f"{_ONE}/heartbeat", operation=Operation.INSTANCES_REPORT, body=HeartbeatBody, summary="Renew an instance's lease"
)
async def heartbeat(services: Services, request: Request, body: HeartbeatBody) -> Response:
    organization_id, which = services.select_organization(request.principal), registration_id_of(request)
    heartbeat = body.heartbeat(organization_id, which, body.epoch)
    refs = [JobRef(organization_id, each.job_id, each.attempt, which, body.epoch) for each in body.jobs or ()]
    result, extended = await asyncio.gather(
        services.instances.heartbeat(request.principal, heartbeat),
        services.instance_jobs.extend(request.principal, refs),
    )
    raise_for_outcome(result.outcome)
    jobs = {} if body.jobs is None else {"jobs": [each.to_dict() for each in extended]}
    return json_response(render_heartbeat(heartbeat, result) | jobs)


@routes.post(
    f"{_ONE}/drain",
    operation=Operation.INSTANCES_REPORT,
    body=LeavingBody,
    summary="Drain an instance: it finishes its work and gets no new work",
)
async def drain(services: Services, request: Request, body: LeavingBody) -> Response:
    organization_id = services.select_organization(request.principal)
    outcome = await services.instances.drain(
        request.principal, organization_id, registration_id_of(request), body.epoch, body.reason
    )
    raise_for_outcome(outcome)
    return await _get(services, request, organization_id)


@routes.post(
    f"{_ONE}/cordon",
    operation=Operation.INSTANCES_CORDON,
    body=CordonBody,
    summary="Keep an instance from work, through all its further registrations",
)
async def cordon(services: Services, request: Request, body: CordonBody) -> Response:
    organization_id = services.select_organization(request.principal)
    await services.cordons.cordon(request.principal, organization_id, registration_id_of(request), body.reason)
    return await _get(services, request, organization_id)


@routes.post(f"{_ONE}/uncordon", operation=Operation.INSTANCES_CORDON, summary="Lift the cordon of an instance")
async def uncordon(services: Services, request: Request) -> Response:
    organization_id = services.select_organization(request.principal)
    await services.cordons.uncordon(request.principal, organization_id, registration_id_of(request))
    return await _get(services, request, organization_id)


@routes.patch(_ONE, operation=Operation.INSTANCES_REPORT, body=UpdateBody, summary="Change fields of an instance")
async def update(services: Services, request: Request, body: UpdateBody) -> Response:
    organization_id = services.select_organization(request.principal)
    outcome = await services.instances.update(
        request.principal, organization_id, registration_id_of(request), body.epoch, body.change
    )
    raise_for_outcome(outcome)
    return await _get(services, request, organization_id)


@routes.delete(
    _ONE,
    operation=Operation.INSTANCES_REMOVE,
    success=204,
    query=LEAVING,
    summary="Deregister an instance (`epoch` and `reason` in the query or in a body)",
)
async def deregister(services: Services, request: Request) -> Response:
    leaving, organization_id = _leaving(request), services.select_organization(request.principal)
    outcome = await services.instances.deregister(
        request.principal, organization_id, registration_id_of(request), leaving.epoch, leaving.reason
    )
    raise_for_outcome(outcome)
    return empty()


async def _get(services: Services, request: Request, organization_id: UUID) -> Response:
    return json_response(await services.instances.get(request.principal, organization_id, registration_id_of(request)))


def registration_id_of(request: Request) -> UUID:
    """Raises NotFound for anything that is no UUID."""
    registration_id = find_uuid(request.path_params["registration_id"])
    if registration_id is None:
        raise missing_registration()
    return registration_id


def _leaving(request: Request) -> LeavingBody:
    if not request.body:
        return leaving_of(request.query)
    ensure_none(request.query)
    body = parse_body(LeavingBody, request.body)
    assert isinstance(body, LeavingBody)  # noqa: S101 - parse_body returns the given class
    return body
