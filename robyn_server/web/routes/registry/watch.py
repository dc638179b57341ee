"""/agents/watch: a stream of the changes of instances.

Events with a position as id:

- `watching`: the stream begins at this position.
- `instance`: one change. A client resumes after it with Last-Event-ID or `after`.
- `compacted`: the stream ends, because events are no longer kept. List again, then watch from this position.

Events without an id, which end the stream:

- `slow_reader`: the client reads too slowly. It can resume without loss.
- `error`: for example, the principal is no longer a member of the organization.
"""

from __future__ import annotations

from uuid import UUID

from robyn_server.core.access.permissions import Operation
from robyn_server.core.access.principal import Principal
from robyn_server.core.errors import AgenthallError, Invalid
from robyn_server.core.registry.instances import InstanceEvent, InstanceFilter
from robyn_server.registry.leases.event_broker import Compacted, InstanceEventBroker, SlowReader, Subscription
from robyn_server.registry.organizations import ensure_member
from robyn_server.services import Services
from robyn_server.storage.postgres.json import dump_json
from robyn_server.web.http.messages import Request, Sink, Stream
from robyn_server.web.http.routing import RouteTable
from robyn_server.web.http.sse import frame
from robyn_server.web.schemas.queries import LARGEST_POSITION, WATCH, filter_of

routes = RouteTable(tag="Registry", query=())

_HEADERS = (("cache-control", "no-store"), ("x-accel-buffering", "no"))
_MAX_DIGITS = 19
_CACHED_FRAMES = 1024


@routes.get(
    "/agents/watch",
    operation=Operation.INSTANCES_SEARCH,
    summary="Watch instances by `agent_id`, `capabilities`, `tags`, `zone`, from a position (`after`, or Last-Event-ID)",
    query=WATCH,
    media_type="text/event-stream",
    streams=True,
)
async def watch(services: Services, request: Request) -> Stream:
    instance_filter, after = filter_of(request.query), _after(request)
    organization_id = services.select_organization(request.principal)

    async def produce(sink: Sink) -> None:
        await _produce(services.instance_events, sink, organization_id, instance_filter, after)

    async def permits(principal: Principal) -> None:
        ensure_member(principal, organization_id)

    return Stream(produce, headers=_HEADERS, resumable=True, permits=permits, endless=True)


def _after(request: Request) -> int | None:
    # The header wins: a browser that reconnects adds it to the URL of its first request.
    named = request.headers.get("last-event-id")
    if not named:
        return request.query.integer("after")
    if not (named.isascii() and named.isdigit() and len(named) <= _MAX_DIGITS and int(named) <= LARGEST_POSITION):
        raise Invalid("Last-Event-ID: must be the id of an event of this stream", field="Last-Event-ID")
    return int(named)


async def _produce(
    events: InstanceEventBroker, sink: Sink, organization_id: UUID, instance_filter: InstanceFilter, after: int | None
) -> None:
    try:
        async with events.subscribe(organization_id, instance_filter, after) as subscription:
            await _send(sink, subscription)
    except Compacted as compacted:
        message = "Events after the requested position are gone. List the instances again, then watch from here."
        await sink.put(_frame_at(compacted.position, "compacted", message))
    except SlowReader:
        await sink.put(
            frame("slow_reader", {"message": "Events arrive faster than they are read. Reconnect to resume."})
        )
    except AgenthallError as error:
        await sink.put(frame("error", {"error": error.code, "message": error.detail}))


async def _send(sink: Sink, subscription: Subscription) -> None:
    await sink.put(_frame_at(subscription.position, "watching"))
    async for events in subscription:
        await sink.put(b"".join(map(_frames.get, events)))


def _frame_at(position: int, event: str, message: str | None = None) -> bytes:
    data = {"position": position} if message is None else {"position": position, "message": message}
    return frame(event, data, str(position))


class _FrameCache:
    """Frames of the last events, so that each event is serialized once for all watchers.

    The position alone is no key: after a restored backup, another event may have it.
    """

    def __init__(self) -> None:
        self._frames: dict[int, tuple[InstanceEvent, bytes]] = {}

    def get(self, event: InstanceEvent) -> bytes:
        cached = self._frames.get(event.position)
        if cached is not None and cached[0] is event:
            return cached[1]
        if len(self._frames) >= _CACHED_FRAMES:
            del self._frames[next(iter(self._frames))]
        made = frame("instance", dump_json(event.to_dict()), str(event.position))
        self._frames[event.position] = event, made
        return made


_frames = _FrameCache()
