"""Answers of the edge, and the facts of a request that are noted on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from robyn_server.metrics.definitions import UNROUTED
from robyn_server.web.http.messages import Headers, Response, Stream
from robyn_server.web.streams.authorization import StreamAuthorization
from robyn_server.web.streams.slots import StreamSlot


@dataclass(frozen=True, slots=True)
class Streaming:
    """A reply whose body is pulled from `chunks`."""

    status: int
    headers: Headers
    media_type: str
    chunks: Iterator[bytes]


Reply = Response | Streaming


@dataclass(frozen=True, slots=True)
class Opened:
    """A stream that may begin. Its slot is occupied, and released when the stream ends."""

    stream: Stream
    slot: StreamSlot
    authorization: StreamAuthorization | None


@dataclass(slots=True)
class RequestOutcome:
    """Facts of a request beside its reply: the pattern of its route, the route's own counter, limits."""

    route: str = UNROUTED
    count_status: Callable[[int], None] | None = None
    limits: Headers = ()
    """Headers that tell the caller's rate limits."""


def with_headers(reply: Reply, more: Headers) -> Reply:
    headers = (*reply.headers, *more)
    if isinstance(reply, Response):
        return Response(reply.status, reply.body, headers, reply.media_type)
    return Streaming(reply.status, headers, reply.media_type, reply.chunks)
