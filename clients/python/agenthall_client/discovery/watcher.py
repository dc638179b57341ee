"""Watch the change feed over reconnections, complete and in order.

List, then watch: the watch begins before the list is read, so no change falls between the two. After a broken
connection the watch resumes behind the last event that was delivered. When the server no longer keeps the missed
events, the watcher yields `reset` and lists again.

At most MAX_BUFFERED events wait in memory for a slow consumer. The watch resumes when it has consumed those.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from enum import Enum
from typing import Any

from agenthall_client.connection.backoff import Backoff
from agenthall_client.connection.message_channel import Disconnected, MessageChannel
from agenthall_client.connection.reconnecting_connection import ReconnectingConnection
from agenthall_client.errors import Closed, Forbidden, Refused, Unreachable

from .events import RESET, Event
from .pagination import iterate_live_instances

MAX_BUFFERED = 10_000


class StreamEnd(Enum):
    LOST = "the connection broke, or the server ended the watch"
    COMPACTED = "the server no longer keeps the events since that position"
    OVERFLOWED = "events arrive faster than they are consumed"


class EventStream:
    """The buffered events of one watch on one channel."""

    def __init__(self, channel: MessageChannel, max_buffered: int) -> None:
        self.channel = channel
        self.watch_id = ""
        self.position = 0
        self.end: StreamEnd | None = None
        self._max_buffered = max_buffered
        self._events: list[Event] = []
        self._changed = asyncio.Event()

    def append(self, event: Event) -> None:
        if self.end is not None:
            return
        self._events.append(event)
        self._changed.set()
        if len(self._events) >= self._max_buffered:
            self.finish(StreamEnd.OVERFLOWED)

    def finish(self, end: StreamEnd) -> None:
        self.end = self.end or end
        self._changed.set()

    async def next_batch(self) -> list[Event]:
        """Wait for events and return all that have arrived. Empty: the stream has ended."""
        while not self._events and self.end is None:
            self._changed.clear()
            await self._changed.wait()
        batch, self._events = self._events, []
        return batch


class Watcher:
    """All watches of one connection."""

    def __init__(self, connection: ReconnectingConnection, max_buffered: int = MAX_BUFFERED) -> None:
        self._connection = connection
        self._max_buffered = max_buffered
        self._streams: dict[str, EventStream] = {}

    def on_notification(self, method: str, params: Mapping[str, Any]) -> None:
        stream = self._streams.get(str(params.get("watch_id")))
        if stream is None:
            return
        if method == "agent.event":
            stream.append(Event.from_params(params))
        elif method == "agent.compacted":
            stream.finish(StreamEnd.COMPACTED)
        elif method == "agent.watch_ended":
            stream.finish(StreamEnd.LOST)

    def on_disconnected(self, channel: MessageChannel) -> None:
        for watch_id, stream in list(self._streams.items()):
            if stream.channel is channel:
                stream.finish(StreamEnd.LOST)
                del self._streams[watch_id]

    async def watch(self, filters: Mapping[str, Any], after: int | None, *, listed: bool) -> AsyncIterator[Event]:
        """Implements `Client.watch`. Raises Refused, Forbidden, and the final error of the connection."""
        position, must_list, backoff = after, listed and after is None, Backoff()
        with contextlib.suppress(Closed):
            while True:
                stream = await self._open(filters, position)
                position = stream.position if position is None else position
                try:
                    if must_list:
                        async for instance in iterate_live_instances(self._connection, filters):
                            yield Event.listed(instance, position)
                        must_list = False
                    while events := await stream.next_batch():
                        for event in events:
                            position = event.position
                            yield event
                except (Unreachable, Refused) as error:  # of the list
                    if isinstance(error, Refused) and not error.retryable:
                        raise
                    await asyncio.sleep(backoff.next_delay())
                finally:
                    await self._close(stream)
                if stream.end is StreamEnd.COMPACTED:
                    yield Event(RESET, position)
                    position, must_list = None, listed

    async def _open(self, filters: Mapping[str, Any], after: int | None) -> EventStream:
        backoff = Backoff()
        params = dict(filters) if after is None else {**filters, "after": after}
        while True:
            channel = await self._connection.channel()
            stream = EventStream(channel, self._max_buffered)
            try:
                await channel.request(
                    "agent.watch",
                    params,
                    on_result=lambda result, stream=stream: self._add(stream, result),  # type: ignore[misc]
                )
            except Disconnected:
                self._connection.discard(channel)
            except Refused as refused:
                if not refused.retryable:
                    raise
                await asyncio.sleep(backoff.next_delay())
            else:
                return stream

    def _add(self, stream: EventStream, result: Mapping[str, Any]) -> None:
        stream.watch_id, stream.position = str(result["watch_id"]), int(result["position"] or 0)
        self._streams[stream.watch_id] = stream

    async def _close(self, stream: EventStream) -> None:
        if self._streams.pop(stream.watch_id, None) is None or stream.end in {StreamEnd.COMPACTED, StreamEnd.LOST}:
            return  # the server has ended the watch already
        with contextlib.suppress(Disconnected, Refused, Forbidden):
            await stream.channel.request("agent.unwatch", {"watch_id": stream.watch_id})
