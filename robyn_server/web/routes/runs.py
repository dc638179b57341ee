"""/runs and /threads/{thread_id}/runs"""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from robyn_server.core.access.permissions import Operation
from robyn_server.core.errors import BadRequest, Invalid
from robyn_server.core.ids import find_uuid, parse_uuid
from robyn_server.services import Services
from robyn_server.services.runs.service import RunRequest
from robyn_server.storage.runs.runs import FIELDS
from robyn_server.web.http.langsmith_headers import langsmith_keys
from robyn_server.web.http.messages import Request, Response, Stream, empty, json_response
from robyn_server.web.http.routing import RouteTable
from robyn_server.web.schemas.runs import RunBatch, RunCreateStateful, RunCreateStateless, RunsCancel

from .run_streams import (
    canceller,
    location_of,
    permits_of_run,
    stream_joined,
    stream_new,
    wait_for_new,
    wait_for_result,
)

routes = RouteTable(tag="Runs")

_EVENT_STREAM = "text/event-stream"


@routes.post(
    "/threads/{thread_id}/runs",
    operation=Operation.RUNS_CREATE_IN_THREAD,
    body=RunCreateStateful,
    summary="Create a background run",
)
async def create(services: Services, request: Request, body: RunCreateStateful) -> Response:
    run = await services.runs.start(request.principal, _thread_id(request), _requested(request, body))
    return json_response(run.body, headers=(("content-location", location_of(run)),))


@routes.post(
    "/runs",
    operation=Operation.RUNS_CREATE,
    body=RunCreateStateless,
    summary="Create a background run without a thread",
)
async def create_stateless(services: Services, request: Request, body: RunCreateStateless) -> Response:
    run = await services.runs.start(request.principal, None, _requested(request, body))
    return json_response(run.body, headers=(("content-location", f"/runs/{run.run_id}"),))


@routes.post(
    "/threads/{thread_id}/runs/stream",
    operation=Operation.RUNS_CREATE_IN_THREAD,
    body=RunCreateStateful,
    summary="Create a run and stream it",
    media_type=_EVENT_STREAM,
    streams=True,
)
async def create_stream(services: Services, request: Request, body: RunCreateStateful) -> Stream:
    wanted = _requested(request, body)
    run = await services.runs.start(request.principal, _thread_id(request), wanted)
    return stream_new(services, request, run, wanted, location_of(run))


@routes.post(
    "/runs/stream",
    operation=Operation.RUNS_CREATE,
    body=RunCreateStateless,
    summary="Create a run without a thread and stream it",
    media_type=_EVENT_STREAM,
    streams=True,
)
async def create_stream_stateless(services: Services, request: Request, body: RunCreateStateless) -> Stream:
    wanted = _requested(request, body)
    run = await services.runs.start(request.principal, None, wanted)
    return stream_new(services, request, run, wanted, f"/runs/{run.run_id}")


@routes.post(
    "/threads/{thread_id}/runs/wait",
    operation=Operation.RUNS_CREATE_IN_THREAD,
    body=RunCreateStateful,
    summary="Create a run and wait for its result",
    streams=True,
)
async def create_wait(services: Services, request: Request, body: RunCreateStateful) -> Stream:
    wanted = _requested(request, body)
    run = await services.runs.start(request.principal, _thread_id(request), wanted)
    return wait_for_new(services, request, run, wanted)


@routes.post(
    "/runs/wait",
    operation=Operation.RUNS_CREATE,
    body=RunCreateStateless,
    summary="Create a run without a thread and wait for its result",
    streams=True,
)
async def create_wait_stateless(services: Services, request: Request, body: RunCreateStateless) -> Stream:
    wanted = _requested(request, body)
    run = await services.runs.start(request.principal, None, wanted)
    return wait_for_new(services, request, run, wanted)


@routes.get("/threads/{thread_id}/runs", operation=Operation.RUNS_READ, summary="List a thread's runs")
async def list_runs(services: Services, request: Request) -> Response:
    runs = await services.runs.list(
        request.principal,
        _thread_id(request),
        status=request.query.get("status"),
        limit=request.query.integer("limit", 10, 1, 1000),
        offset=request.query.integer("offset", 0, 0, 2**31 - 1),
        select=_selected(request.query.get_all("select")),
    )
    return json_response(runs)


@routes.get("/threads/{thread_id}/runs/{run_id}", operation=Operation.RUNS_READ, summary="Get a run")
async def get(services: Services, request: Request) -> Response:
    return json_response(await services.runs.get(request.principal, _thread_id(request), _run_id(request)))


@routes.get(
    "/threads/{thread_id}/runs/{run_id}/join",
    operation=Operation.RUNS_READ,
    summary="Wait for a run's result",
    streams=True,
)
async def join(services: Services, request: Request) -> Stream:
    thread_id, run_id = _thread_id(request), _run_id(request)
    location = f"/threads/{thread_id}/runs/{run_id}"
    run = await services.runs.find(request.principal, thread_id, run_id)
    cancel = canceller(services, request, run.thread_id, run_id, request.query.boolean("cancel_on_disconnect"))
    permits = permits_of_run(services, run.thread_id, run_id)
    return wait_for_result(lambda: services.runs.join(request.principal, run), location, cancel, permits)


@routes.get(
    "/threads/{thread_id}/runs/{run_id}/stream",
    operation=Operation.RUNS_READ,
    summary="Join a run's stream",
    media_type=_EVENT_STREAM,
    streams=True,
)
async def join_stream(services: Services, request: Request) -> Stream:
    return await stream_joined(services, request, _thread_id(request), _run_id(request))


@routes.get(
    "/runs/{run_id}/stream",
    operation=Operation.RUNS_READ,
    summary="Join the stream of a run without a thread",
    media_type=_EVENT_STREAM,
    streams=True,
)
async def join_stream_stateless(services: Services, request: Request) -> Stream:
    return await stream_joined(services, request, None, _run_id(request))


@routes.post(
    "/runs/batch", operation=Operation.RUNS_CREATE, body=RunBatch, summary="Create several runs without a thread"
)
async def create_batch(services: Services, request: Request, body: RunBatch) -> Response:
    keys = langsmith_keys(request.headers)
    started = await services.runs.start_batch(request.principal, [replace(each, keys=keys) for each in body.requests()])
    return json_response(f"[{','.join(started)}]")


@routes.post(
    "/runs/cancel", operation=Operation.RUNS_CANCEL_MANY, body=RunsCancel, summary="Cancel several runs", success=204
)
async def cancel_several(services: Services, request: Request, body: RunsCancel) -> Response:
    body.check()
    action = _action(request)
    if body.thread_id is not None and body.run_ids:
        await services.runs.cancel_named(request.principal, body.thread_id, body.run_ids, action)
    else:
        await services.runs.cancel_by_status(request.principal, body.statuses, action)
    return empty()


@routes.delete(
    "/threads/{thread_id}/runs/{run_id}", operation=Operation.RUNS_DELETE, summary="Delete a run", success=204
)
async def delete(services: Services, request: Request) -> Response:
    await services.runs.delete(request.principal, _thread_id(request), _run_id(request))
    return empty()


def _action(request: Request) -> str:
    action = request.query.get("action") or "interrupt"
    if action not in ("interrupt", "rollback"):
        raise BadRequest("action must be interrupt or rollback", field="action")
    return action


@routes.post(
    "/threads/{thread_id}/runs/{run_id}/cancel",
    operation=Operation.RUNS_CANCEL,
    summary="Cancel a run",
    success=202,
    streams=True,
)
async def cancel(services: Services, request: Request) -> Response | Stream:
    thread_id, run_id = _thread_id(request), _run_id(request)
    await services.runs.cancel(request.principal, thread_id, run_id, _action(request))
    if not request.query.boolean("wait"):
        return empty(202)
    permits = permits_of_run(services, thread_id, run_id)
    return wait_for_result(lambda: services.runs.result(run_id), f"/threads/{thread_id}/runs/{run_id}", None, permits)


def _requested(request: Request, body: RunCreateStateless) -> RunRequest:
    wanted, keys = body.request(), langsmith_keys(request.headers)
    return replace(wanted, keys=keys) if keys else wanted


def _selected(fields: list[str]) -> list[str] | None:
    for field in fields:
        if field not in FIELDS:
            raise Invalid(f"select: '{field[:100]}' is not one of {', '.join(FIELDS)}", field="select")
    return fields or None


def _thread_id(request: Request) -> UUID:
    found = find_uuid(request.path_params["thread_id"])
    if found is None:
        raise BadRequest("badly formed hexadecimal UUID string: thread_id", field="thread_id")
    return found


def _run_id(request: Request) -> UUID:
    return parse_uuid(request.path_params["run_id"], "run ID")


def _not_built() -> None:
    for method, path, summary in (
        ("POST", "/runs/crons", "Create a cron without a thread"),
        ("POST", "/threads/{thread_id}/runs/crons", "Create a cron"),
        ("POST", "/runs/crons/search", "Search crons"),
        ("POST", "/runs/crons/count", "Count crons"),
        ("GET", "/runs/crons/{cron_id}", "Get a cron"),
        ("PATCH", "/runs/crons/{cron_id}", "Update a cron"),
        ("DELETE", "/runs/crons/{cron_id}", "Delete a cron"),
    ):
        routes.not_offered(method, path, summary)


_not_built()
