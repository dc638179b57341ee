"""Answers that follow a run: streams of its events, and its result as soon as it is there.

A run's stream begins with `metadata`, which the web sends as soon as the run is in the queue; it is number 0 of the
run's events. Later attempts announce themselves. The run's final status is committed before its stream closes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from uuid import UUID

import orjson

from robyn_server.core.errors import BadRequest, Invalid, NotFound, Unavailable
from robyn_server.core.runs import MISSING, RunEvent, parse_event_id
from robyn_server.services import Services
from robyn_server.services.runs.service import RunRequest, StartedRun
from robyn_server.storage.runs.runs import FoundRun
from robyn_server.web.http.messages import End, Headers, Permits, Request, Sink, Stream
from robyn_server.web.http.sse import WAIT_HEARTBEAT, frame, missing_events

_DISCONNECTED = "the client disconnected"
_WHOLE_WITHIN = 0.5
"""Seconds in which a result is awaited as one response: most runs of tests and of plain code end in less."""
_SSE_HEADERS = (("cache-control", "no-store"), ("x-accel-buffering", "no"))
Produce = Callable[[Sink], Awaitable[None]]
Cancel = Callable[[], Awaitable[None]] | None


def stream_new(services: Services, request: Request, run: StartedRun, wanted: RunRequest, location: str) -> Stream:
    async def produce(sink: Sink) -> None:
        await sink.put(_metadata_frame(run.run_id, run.resumable))
        await _send_events(services, sink, run, 0, None)

    cancel = canceller(services, request, run.thread_id, run.run_id, wanted.on_disconnect == "cancel")
    return _event_stream(produce, location, cancel, run.resumable, permits_of_run(services, run.thread_id, run.run_id))


def wait_for_new(services: Services, request: Request, run: StartedRun, wanted: RunRequest) -> Stream:
    cancel = canceller(services, request, run.thread_id, run.run_id, wanted.on_disconnect == "cancel")
    permits = permits_of_run(services, run.thread_id, run.run_id)
    return wait_for_result(lambda: services.runs.result(run.run_id), location_of(run), cancel, permits)


async def stream_joined(services: Services, request: Request, thread_id: UUID | None, run_id: UUID) -> Stream:
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

    cancel = canceller(services, request, run.thread_id, run_id, request.query.boolean("cancel_on_disconnect"))
    return _event_stream(produce, location, cancel, run.resumable, permits_of_run(services, run.thread_id, run_id))


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

    `error` and `feedback` belong to all, as a note of lost events does; `metadata` to none.
    """
    name = event.partition("|")[0]
    if name in ("metadata", "error", "feedback", MISSING):
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


def canceller(services: Services, request: Request, thread_id: UUID, run_id: UUID, wanted: bool) -> Cancel:
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


def permits_of_run(services: Services, thread_id: UUID | None, run_id: UUID) -> Permits:
    return lambda principal: services.runs.find(principal, thread_id, run_id)


def _event_stream(
    produce: Produce, location: str, cancel: Cancel, resumable: bool, permits: Permits | None = None
) -> Stream:
    headers: Headers = (*_SSE_HEADERS, ("location", f"{location}/stream"), ("content-location", location))
    return Stream(_guarded(produce, cancel), headers=headers, resumable=resumable, permits=permits)


def wait_for_result(result: Callable[[], Awaitable[bytes]], location: str, cancel: Cancel, permits: Permits) -> Stream:
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


def location_of(run: StartedRun) -> str:
    return f"/threads/{run.thread_id}/runs/{run.run_id}"
