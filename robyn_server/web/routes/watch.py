"""/agents/watch: what happens to instances, as it happens.

The stream begins with `watching`, whose id is the position it begins at; each change is an `instance`, its id the event's position.
Who comes back with Last-Event-ID, or `after`, goes on behind it. Two events end a stream: `compacted` (list again; the browser's own
reconnect then watches from the right position) and `slow_reader` (come back, nothing is lost). So does an `error`: among others, when
its reader is no member of the tenant any more.
"""

from __future__ import annotations

from uuid import UUID

from robyn_server.core.errors import AgenthallError, Invalid
from robyn_server.core.principal import Principal
from robyn_server.core.registry import InstanceEvent, InstanceFilter
from robyn_server.registry.protocols import Compacted, InstanceWatch, SlowReader, Subscription
from robyn_server.registry.tenants import ensure_member
from robyn_server.services import Services
from robyn_server.storage.json import dump_json
from robyn_server.web.http import Request, Sink, Stream
from robyn_server.web.routing import RouteTable
from robyn_server.web.schemas.queries import LARGEST_POSITION, WATCH, filter_of
from robyn_server.web.sse import frame

routes = RouteTable(tag="Registry", query=())

_HEADERS = (("cache-control", "no-store"), ("x-accel-buffering", "no"))
_DIGITS = 19
_REMEMBERED = 1024


@routes.get(
    "/agents/watch",
    summary="Watch instances (`agent_id`, `capability` and `tag` (all of them), `zone`; `after` a position, or Last-Event-ID)",
    query=WATCH,
    media_type="text/event-stream",
    streams=True,
)
async def watch(services: Services, request: Request) -> Stream:
    wanted, after = filter_of(request.query), _after(request)
    tenant = services.tenants(request.principal)

    async def produce(sink: Sink) -> None:
        await _produce(services.watch, sink, tenant, wanted, after)

    async def permits(principal: Principal) -> None:
        ensure_member(principal, tenant)

    return Stream(produce, headers=_HEADERS, resumable=True, permits=permits, endless=True)


def _after(request: Request) -> int | None:
    """The header knows better: a browser that reconnects sends it, with the address that it began with."""
    named = request.headers.get("last-event-id")
    if not named:
        return request.query.integer("after")
    if not (named.isascii() and named.isdigit() and len(named) <= _DIGITS and int(named) <= LARGEST_POSITION):
        raise Invalid("Last-Event-ID: must be the id of an event of this stream", field="Last-Event-ID")
    return int(named)


async def _produce(watch: InstanceWatch, sink: Sink, tenant: UUID, wanted: InstanceFilter, after: int | None) -> None:
    try:
        async with watch.subscribe(tenant, wanted, after) as subscription:
            await _send(sink, subscription)
    except Compacted as gone:
        await sink.put(
            _last("compacted", "Events are gone: list the instances again, then watch from here.", gone.position)
        )
    except SlowReader:
        await sink.put(
            frame("slow_reader", {"message": "Events come faster than they are read: come back for the rest."})
        )
    except AgenthallError as error:
        await sink.put(frame("error", {"error": error.code, "message": error.detail}))


async def _send(sink: Sink, subscription: Subscription) -> None:
    await sink.put(_last("watching", "", subscription.position))
    async for events in subscription:
        await sink.put(b"".join(map(_frames.of, events)))


def _last(event: str, message: str, position: int) -> bytes:
    said = {"message": message} if message else {}
    return frame(event, {"position": position, **said}, str(position))


class _Frames:
    """Each event is written out once for all who watch. Remembers the last ones; another event of the same position is another's."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[InstanceEvent, bytes]] = {}

    def of(self, event: InstanceEvent) -> bytes:
        known = self._known.get(event.position)
        if known is not None and known[0] is event:
            return known[1]
        if len(self._known) >= _REMEMBERED:
            del self._known[next(iter(self._known))]
        made = frame("instance", dump_json(event.shown()), str(event.position))
        self._known[event.position] = event, made
        return made


_frames = _Frames()
