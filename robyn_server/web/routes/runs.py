"""/runs and /threads/{thread_id}/runs

A run's stream begins with `metadata`, which the web sends as soon as the run is in the queue; it is number 0 of the
run's events. Later attempts announce themselves. The run's final status is committed before its stream closes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from uuid import UUID

import orjson

from robyn_server.core.access.permissions import Operation
from robyn_server.core.errors import BadRequest, Invalid, NotFound, Unavailable
from robyn_server.core.ids import find_uuid, parse_uuid
from robyn_server.core.runs import MISSING, RunEvent, parse_event_id
from robyn_server.services import Services
from robyn_server.services.runs import RunRequest, StartedRun
from robyn_server.storage.runs import FIELDS, FoundRun
from robyn_server.web.http.langsmith_headers import langsmith_keys
from robyn_server.web.http.messages import End, Headers, Permits, Request, Response, Sink, Stream, empty, json_response
from robyn_server.web.http.routing import RouteTable
from robyn_server.web.http.sse import WAIT_HEARTBEAT, frame, missing_events
from robyn_server.web.schemas.runs import RunBatch, RunCreateStateful, RunCreateStateless, RunsCancel

routes = RouteTable(tag="Runs")

_DISCONNECTED = "the client disconnected"
_EVENT_STREAM = "text/event-stream"
_WHOLE_WITHIN = 0.5
"""Seconds in which a result is awaited as one response: most runs of tests and of plain code end in less."""
_SSE_HEADERS = (("cache-control", "no-store"), ("x-accel-buffering", "no"))


@routes.post(
    "/threads/{thread_id}/runs",
    operation=Operation.RUNS_CREATE_IN_THREAD,
    body=RunCreateStateful,
    summary="Create a background run",
)
async def create(services: Services, request: Request, body: RunCreateStateful) -> Response:
    run = await services.runs.start(request.principal, _thread_id(request), _requested(request, body))
    return json_response(run.body, headers=(("content-location", _location(run)),))


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
    return _new_stream(services, request, run, wanted, _location(run))


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
    return _new_stream(services, request, run, wanted, f"/runs/{run.run_id}")


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
    return _new_wait(services, request, run, wanted)


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
    return _new_wait(services, request, run, wanted)


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
    cancel = _canceller(services, request, run.thread_id, run_id, request.query.boolean("cancel_on_disconnect"))
    permits = _permits(services, run.thread_id, run_id)
    return _waiting(lambda: services.runs.join(request.principal, run), location, cancel, permits)


@routes.get(
    "/threads/{thread_id}/runs/{run_id}/stream",
    operation=Operation.RUNS_READ,
    summary="Join a run's stream",
    media_type=_EVENT_STREAM,
    streams=True,
)
async def join_stream(services: Services, request: Request) -> Stream:
    return await _joined_stream(services, request, _thread_id(request), _run_id(request))


@routes.get(
    "/runs/{run_id}/stream",
    operation=Operation.RUNS_READ,
    summary="Join the stream of a run without a thread",
    media_type=_EVENT_STREAM,
    streams=True,
)
async def join_stream_stateless(services: Services, request: Request) -> Stream:
    return await _joined_stream(services, request, None, _run_id(request))


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
    permits = _permits(services, thread_id, run_id)
    return _waiting(lambda: services.runs.result(run_id), f"/threads/{thread_id}/runs/{run_id}", None, permits)


def _requested(request: Request, body: RunCreateStateless) -> RunRequest:
    wanted, keys = body.request(), langsmith_keys(request.headers)
    return replace(wanted, keys=keys) if keys else wanted


def _new_stream(services: Services, request: Request, run: StartedRun, wanted: RunRequest, location: str) -> Stream:
    async def produce(sink: Sink) -> None:
        await sink.put(_metadata_frame(run.run_id, run.resumable))
        await _send_events(services, sink, run, 0, None)

    cancel = _canceller(services, request, run.thread_id, run.run_id, wanted.on_disconnect == "cancel")
    return _event_stream(produce, location, cancel, run.resumable, _permits(services, run.thread_id, run.run_id))


def _new_wait(services: Services, request: Request, run: StartedRun, wanted: RunRequest) -> Stream:
    cancel = _canceller(services, request, run.thread_id, run.run_id, wanted.on_disconnect == "cancel")
    permits = _permits(services, run.thread_id, run.run_id)
    return _waiting(lambda: services.runs.result(run.run_id), _location(run), cancel, permits)


async def _joined_stream(services: Services, request: Request, thread_id: UUID | None, run_id: UUID) -> Stream:
    modes = _modes(request.query.get_all("stream_mode"))
    location = f"/threads/{thread_id}/runs/{run_id}" if thread_id else f"/runs/{run_id}"
    run = await services.runs.find(request.principal, thread_id, run_id)
    services.runs.check_readable(run)
    after = await _start_seq(services, request.headers.get("last-event-id"), run)

    async def produce(sink: Sink) -> None:
        if after < 0:
            await sink.put(_metadata_frame(run_id, run.resumable))
        if run.status in ("pending", "running") or await services.runs.last_seq(run_id):
            await _send_events(services, sink, run, max(after, 0), modes)

    cancel = _canceller(services, request, run.thread_id, run_id, request.query.boolean("cancel_on_disconnect"))
    return _event_stream(produce, location, cancel, run.resumable, _permits(services, run.thread_id, run_id))


async def _start_seq(services: Services, last_event_id: str | None, run: FoundRun) -> int:
    """The seq to continue after: the newest, unless the client names one.

    Negative: from the start. Raises Invalid, Unavailable.
    """
    if not (last_event_id and run.resumable):
        return await services.runs.last_seq_before_end(run)
    named = parse_event_id(last_event_id)
    if named is None:
        raise Invalid(
            "Last-Event-ID: must be the id of an event of this stream, or -1 for all events", field="Last-Event-ID"
        )
    if named <= 0:
        return named
    try:  # beyond the newest, the stream would pass over events
        return min(named, await services.runs.last_seq_before_end(run))
    except Unavailable:
        return named


async def _send_events(
    services: Services, sink: Sink, run: StartedRun | FoundRun, after: int, modes: Collection[str] | None
) -> None:
    async for batch in services.runs.events(run, after):
        chosen = [event for event in batch if modes is None or _belongs(event.event, modes)]
        if chosen:
            await sink.put(b"".join(_frame(event, run) for event in chosen))


def _frame(event: RunEvent, run: StartedRun | FoundRun) -> bytes:
    event_id = event.event_id if run.resumable else None
    if event.event == MISSING:
        return frame("metadata", missing_events(event, run.run_id), event_id)
    return frame(event.event, event.data.encode(), event_id)


def _metadata_frame(run_id: UUID, resumable: bool) -> bytes:
    return frame("metadata", {"run_id": str(run_id), "attempt": 1}, "1-0" if resumable else None)


def _belongs(event: str, modes: Collection[str]) -> bool:
    """Whether an event belongs to one of the modes.

    `error` belongs to all, as a note of lost events does; `metadata` to none.
    """
    name = event.partition("|")[0]
    if name in ("metadata", "error", MISSING):
        return name != "metadata"
    if name == "messages":
        return "messages-tuple" in modes
    return name.partition("/")[0] in modes


def _modes(values: list[str]) -> set[str] | None:
    """Parse stream_mode: one value, a JSON array, a comma-separated list, or a repeated parameter.

    Return None for all modes.
    """
    chosen: set[str] = set()
    for value in values:
        if value.startswith("["):
            try:
                chosen.update(str(each) for each in orjson.loads(value))
            except orjson.JSONDecodeError:
                raise BadRequest("stream_mode is not a JSON array", field="stream_mode") from None
        else:
            chosen.update(part.strip() for part in value.split(",") if part.strip())
    return chosen or None


def _selected(fields: list[str]) -> list[str] | None:
    for field in fields:
        if field not in FIELDS:
            raise Invalid(f"select: '{field[:100]}' is not one of {', '.join(FIELDS)}", field="select")
    return fields or None


Produce = Callable[[Sink], Awaitable[None]]
Cancel = Callable[[], Awaitable[None]] | None


def _canceller(services: Services, request: Request, thread_id: UUID, run_id: UUID, wanted: bool) -> Cancel:
    """The action when the client disconnects before the run has ended."""
    if not wanted:
        return None

    async def cancel_run() -> None:
        try:
            await services.runs.cancel(request.principal, thread_id, run_id, "interrupt", _DISCONNECTED)
        except NotFound:
            return  # it ended in the meantime

    return cancel_run


def _guarded(produce: Produce, cancel: Cancel) -> Produce:
    if cancel is None:
        return produce

    async def guarded(sink: Sink) -> None:
        try:
            await produce(sink)
        finally:
            if sink.end in (End.CLIENT_GONE, End.SLOW_READER, End.REFUSED):
                await cancel()

    return guarded


def _permits(services: Services, thread_id: UUID | None, run_id: UUID) -> Permits:
    return lambda principal: services.runs.find(principal, thread_id, run_id)


def _event_stream(
    produce: Produce, location: str, cancel: Cancel, resumable: bool, permits: Permits | None = None
) -> Stream:
    headers: Headers = (*_SSE_HEADERS, ("location", f"{location}/stream"), ("content-location", location))
    return Stream(_guarded(produce, cancel), headers=headers, resumable=resumable, permits=permits)


def _waiting(result: Callable[[], Awaitable[bytes]], location: str, cancel: Cancel, permits: Permits) -> Stream:
    async def produce(sink: Sink) -> None:
        await sink.put(await result())

    return Stream(
        _guarded(produce, cancel),
        media_type="application/json",
        headers=(("location", f"{location}/join"), ("content-location", location)),
        heartbeat=WAIT_HEARTBEAT,
        permits=permits,
        whole_within=_WHOLE_WITHIN,
    )


def _location(run: StartedRun) -> str:
    return f"/threads/{run.thread_id}/runs/{run.run_id}"


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
