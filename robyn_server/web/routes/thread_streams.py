"""/threads/{thread_id}/stream: all runs of a thread, one after the other. The stream ends when the thread is deleted.

A run begins with the event `metadata` that names it, and ends with one that has the status `run_done`. The id of an
event is that of the run, a colon, and the id of the event in the run's own stream.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import aclosing
from uuid import UUID

from robyn_server.core.access.permissions import Operation
from robyn_server.core.access.principal import Principal
from robyn_server.core.errors import FieldNotOffered, Invalid
from robyn_server.core.ids import parse_uuid
from robyn_server.core.runs import END, MISSING, RunEvent
from robyn_server.services import Services
from robyn_server.services.thread_streams import RunPart, ThreadPosition
from robyn_server.web.http.messages import Request, Sink, Stream
from robyn_server.web.http.routing import RouteTable
from robyn_server.web.http.sse import frame, missing_events

routes = RouteTable(tag="Threads")

_HEADERS = (("cache-control", "no-store"), ("x-accel-buffering", "no"))
_MODES = ("run_modes", "lifecycle")
_METADATA = "metadata"
_EVENT_ID = re.compile(r"(?P<run>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}):[0-9]{1,9}-(?P<seq>[0-9]{1,9})")


@routes.get(
    "/threads/{thread_id}/stream",
    operation=Operation.RUNS_READ,
    summary="Stream all runs of a thread",
    media_type="text/event-stream",
    streams=True,
)
async def stream(services: Services, request: Request) -> Stream:
    thread_id = parse_uuid(request.path_params["thread_id"], "thread ID")
    modes, position = _modes(request), _position(request.headers.get("last-event-id"))
    await services.thread_streams.check(request.principal, thread_id)
    # before the headers are sent: a client may start a run when it has them
    start = await services.thread_streams.find_start(request.principal, thread_id, position)

    async def produce(sink: Sink) -> None:
        async with aclosing(services.thread_streams.follow(start)) as parts:
            async for part in parts:
                await sink.put(b"".join(_frames(part, modes)))

    async def permits(principal: Principal) -> None:
        await services.thread_streams.check(principal, thread_id)

    return Stream(produce, headers=_HEADERS, resumable=True, permits=permits, endless=True)


def _modes(request: Request) -> set[str]:
    """Parse stream_mode, or stream_modes as the API's description has it. Raises Invalid, FieldNotOffered."""
    given = request.query.get_all("stream_mode") + request.query.get_all("stream_modes")
    modes = {part.strip() for value in given for part in value.split(",") if part.strip()} or {"run_modes"}
    for mode in modes - {*_MODES}:
        if mode == "state_update":
            raise FieldNotOffered(f"stream_mode '{mode}' is not offered by this server yet.", field="stream_mode")
        raise Invalid(f"Invalid stream mode: {mode[:100]}", field="stream_mode")
    return modes


def _position(last_event_id: str | None) -> ThreadPosition | None:
    """Raises Invalid."""
    if not last_event_id:
        return None
    found = _EVENT_ID.fullmatch(last_event_id.strip())
    if found is None:
        raise Invalid("Last-Event-ID: must be the id of an event of this stream", field="Last-Event-ID")
    return ThreadPosition(UUID(found["run"]), int(found["seq"]))


def _frames(part: RunPart, modes: set[str]) -> Iterator[bytes]:
    if part.begins:
        yield frame(_METADATA, {"run_id": str(part.run_id), "attempt": 1}, f"{part.run_id}:1-0")
    for event in part.events:
        if event.event == END:
            yield frame(_METADATA, {"status": "run_done", "run_id": str(part.run_id)}, _id(part, event))
        elif event.event == MISSING:
            yield frame(_METADATA, missing_events(event, part.run_id), _id(part, event))
        elif event.event == _METADATA or "run_modes" in modes:
            yield frame(event.event, event.data.encode(), _id(part, event))


def _id(part: RunPart, event: RunEvent) -> str:
    return f"{part.run_id}:{event.event_id}"
