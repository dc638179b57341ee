"""/agents/jobs: instances without a WebSocket poll for jobs and report them; operators list and cancel them."""

from __future__ import annotations

import asyncio
from uuid import UUID

from robyn_server.core.access.permissions import Operation
from robyn_server.core.ids import find_uuid
from robyn_server.core.registry.job_events import JobEvents
from robyn_server.core.registry.jobs import JobNotice, JobOutcome, JobRef
from robyn_server.registry.jobs.fencing import fenced
from robyn_server.registry.jobs.job_view import render_job
from robyn_server.registry.jobs.offers.polls import JobPoll, PollRequest
from robyn_server.registry.jobs.operations import missing_job
from robyn_server.services import Services
from robyn_server.storage.postgres.json import dump_json
from robyn_server.web.http.messages import End, Request, Response, Sink, Stream, json_response
from robyn_server.web.http.routing import RouteTable
from robyn_server.web.http.sse import WAIT_HEARTBEAT
from robyn_server.web.schemas.queries import JOBS, job_filter_of, limit_of
from robyn_server.web.schemas.registry.jobs import (
    CancelBody,
    ClaimBody,
    EventsBody,
    FinishBody,
    JobBody,
    RejectBody,
    named,
)

from .instances import registration_id_of

routes = RouteTable(tag="Registry", query=())

_ONE = "/agents/jobs/{job_id}"
_WHOLE_WITHIN = 0.5
"""Seconds in which the answer to a poll is awaited as one response. Afterwards, a disconnect is noticed."""


@routes.post(
    "/agents/instances/{registration_id}/jobs/claim",
    operation=Operation.JOBS_WORK,
    body=ClaimBody,
    streams=True,
    summary="Poll for jobs: ask for at most `max_jobs` offers, and wait for them up to `wait_seconds`",
)
async def claim(services: Services, request: Request, body: ClaimBody) -> Response | Stream:
    organization_id = services.select_organization(request.principal)
    wanted = PollRequest(organization_id, registration_id_of(request), body.epoch, body.max_jobs, body.wait_seconds)
    poll = await services.job_polls.begin(request.principal, wanted)
    if poll.is_over:
        return json_response(_rendered(poll.offers))
    return Stream(
        lambda sink: _produce(poll, sink),
        media_type="application/json",
        heartbeat=WAIT_HEARTBEAT,
        resumable=True,
        whole_within=_WHOLE_WITHIN,
    )


async def _produce(poll: JobPoll, sink: Sink) -> None:
    try:
        offers = await poll.wait()
    except asyncio.CancelledError:
        if sink.end is not End.DRAINING:
            await poll.abandon()
            raise
        offers = await poll.finish()  # the client polls another process next
    await sink.put(_rendered(offers))


def _rendered(offers: list[JobNotice]) -> bytes:
    return dump_json({"jobs": [render_job(each) for each in offers]})


@routes.post(f"{_ONE}/accept", operation=Operation.JOBS_WORK, body=JobBody, summary="Accept an offered job")
async def accept(services: Services, request: Request, body: JobBody) -> Response:
    ref = _ref(services, request, body)
    lease_seconds = await services.instance_jobs.accept(request.principal, ref)
    return json_response({**named(ref), "lease_seconds": lease_seconds})


@routes.post(
    f"{_ONE}/reject",
    operation=Operation.JOBS_WORK,
    body=RejectBody,
    summary="Reject an offered job, or hand a running one back",
)
async def reject(services: Services, request: Request, body: RejectBody) -> Response:
    ref = _ref(services, request, body)
    await services.instance_jobs.reject(request.principal, ref, body.reason)
    return json_response(named(ref))


@routes.post(
    f"{_ONE}/events",
    operation=Operation.JOBS_WORK,
    body=EventsBody,
    summary="Store events of a running job, numbered from `first_seq`",
)
async def events(services: Services, request: Request, body: EventsBody) -> Response:
    ref = _ref(services, request, body)
    message = JobEvents(ref, body.first_seq, body.sent)
    applied_through = await services.instance_jobs.append_events(request.principal, message)
    return json_response({**named(ref), "applied_through": applied_through})


@routes.post(
    f"{_ONE}/extend",
    operation=Operation.JOBS_WORK,
    body=JobBody,
    summary="Extend the lease of a running job, and learn whether to stop it",
)
async def extend(services: Services, request: Request, body: JobBody) -> Response:
    ref = _ref(services, request, body)
    (extended,) = await services.instance_jobs.extend(request.principal, [ref])
    if extended.outcome is not JobOutcome.OK:
        raise fenced()
    return json_response({**named(ref), "cancel": extended.is_cancelled})


@routes.post(
    f"{_ONE}/finish",
    operation=Operation.JOBS_WORK,
    body=FinishBody,
    summary="End a running job: `result`, `error`, `interrupts` or `cancelled`",
)
async def finish(services: Services, request: Request, body: FinishBody) -> Response:
    ref = _ref(services, request, body)
    await services.instance_jobs.finish(request.principal, ref, body.end, body.through_seq)
    return json_response(named(ref))


@routes.get(
    "/agents/jobs",
    operation=Operation.JOBS_SEARCH,
    query=JOBS,
    summary="List jobs, the newest first, by `agent_id`, `state`, `thread_id`, `run_id` (`limit`, `cursor`)",
)
async def search(services: Services, request: Request) -> Response:
    organization_id, query = services.select_organization(request.principal), request.query
    page = await services.jobs.search(
        request.principal, organization_id, job_filter_of(query), query.get("cursor"), limit_of(query)
    )
    return json_response(page)


@routes.get(_ONE, operation=Operation.JOBS_READ, summary="Get a job and its offers")
async def get(services: Services, request: Request) -> Response:
    return await _get(services, request, services.select_organization(request.principal))


@routes.post(
    f"{_ONE}/cancel",
    operation=Operation.JOBS_CANCEL,
    body=CancelBody,
    summary="Cancel a job; its instance gets `grace_seconds` to stop",
)
async def cancel(services: Services, request: Request, body: CancelBody) -> Response:
    organization_id = services.select_organization(request.principal)
    await services.jobs.cancel(request.principal, organization_id, _id(request), body.reason, body.grace_seconds)
    return await _get(services, request, organization_id)


async def _get(services: Services, request: Request, organization_id: UUID) -> Response:
    return json_response(await services.jobs.get(request.principal, organization_id, _id(request)))


def _ref(services: Services, request: Request, body: JobBody) -> JobRef:
    """Raises Conflict (fenced) for an id that is no UUID: no such job can be the instance's."""
    job_id = find_uuid(request.path_params["job_id"])
    if job_id is None:
        raise fenced()
    return body.ref(services.select_organization(request.principal), job_id)


def _id(request: Request) -> UUID:
    job_id = find_uuid(request.path_params["job_id"])
    if job_id is None:
        raise missing_job()
    return job_id
