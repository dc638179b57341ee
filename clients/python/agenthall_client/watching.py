"""Watches: the change feed across sockets, complete and in order.

List, then watch: the watch begins first, then the list is read, so nothing falls between. A broken connection goes on after the last event
that was taken. Where the server no longer keeps what was missed, a `reset` says so and the list comes again. Who takes events more
slowly than they come is not given more than MOST_WAITING to hold: the rest is asked for once these are taken.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from enum import Enum
from typing import Any

from .backoff import Backoff
from .errors import Closed, Forbidden, Refused, Unreachable
from .events import RESET, Event
from .link import Link
from .listing import instances_of
from .wire import Disconnected, Wire

MOST_WAITING = 10_000


class End(Enum):
    LOST = "the connection broke, or the server cannot follow the watch now"
    COMPACTED = "events since that position are gone"
    OVERFLOWED = "events come faster than they are taken"


class Feed:
    """What one watch on one socket brings."""

    def __init__(self, wire: Wire, most: int) -> None:
        self.wire = wire
        self.watch_id = ""
        self.position = 0
        self.end: End | None = None
        self._most = most
        self._events: list[Event] = []
        self._news = asyncio.Event()

    def put(self, event: Event) -> None:
        if self.end is not None:
            return
        self._events.append(event)
        self._news.set()
        if len(self._events) >= self._most:
            self.finish(End.OVERFLOWED)

    def finish(self, end: End) -> None:
        self.end = self.end or end
        self._news.set()

    async def take(self) -> list[Event]:
        """All that have come, at least one; none: the feed has ended."""
        while not self._events and self.end is None:
            self._news.clear()
            await self._news.wait()
        taken, self._events = self._events, []
        return taken


class Watches:
    """Those of one link."""

    def __init__(self, link: Link, most_waiting: int = MOST_WAITING) -> None:
        self._link = link
        self._most_waiting = most_waiting
        self._feeds: dict[str, Feed] = {}

    def heard(self, method: str, params: Mapping[str, Any]) -> None:
        feed = self._feeds.get(str(params.get("watch_id")))
        if feed is None:
            return
        if method == "agent.event":
            feed.put(Event.told(params))
        elif method == "agent.compacted":
            feed.finish(End.COMPACTED)
        elif method == "agent.watch_ended":
            feed.finish(End.LOST)

    def lost(self, wire: Wire) -> None:
        for watch_id, feed in list(self._feeds.items()):
            if feed.wire is wire:
                feed.finish(End.LOST)
                del self._feeds[watch_id]

    async def follow(self, wanted: Mapping[str, Any], after: int | None, *, listed: bool) -> AsyncIterator[Event]:
        """Without end; `Client.watch` says what comes. Ends when the client is closed; raises what ends the link, Refused, Forbidden."""
        position, must_list, backoff = after, listed and after is None, Backoff()
        with contextlib.suppress(Closed):
            while True:
                feed = await self._begin(wanted, position)
                position = feed.position if position is None else position
                try:
                    if must_list:
                        async for instance in instances_of(self._link, wanted):
                            yield Event.listed(instance, position)
                        must_list = False
                    while events := await feed.take():
                        for event in events:
                            position = event.position
                            yield event
                except (Unreachable, Refused) as error:  # of the list
                    if isinstance(error, Refused) and not error.retryable:
                        raise
                    await asyncio.sleep(backoff.next())
                finally:
                    await self._leave(feed)
                if feed.end is End.COMPACTED:
                    yield Event(RESET, position)
                    position, must_list = None, listed

    async def _begin(self, wanted: Mapping[str, Any], after: int | None) -> Feed:
        backoff = Backoff()
        params = dict(wanted) if after is None else {**wanted, "after": after}
        while True:
            wire = await self._link.wire()
            feed = Feed(wire, self._most_waiting)
            try:
                await wire.ask("agent.watch", params, answered=lambda result, feed=feed: self._open(feed, result))  # type: ignore[misc]
            except Disconnected:
                self._link.withdraw(wire)
            except Refused as refused:
                if not refused.retryable:
                    raise
                await asyncio.sleep(backoff.next())
            else:
                return feed

    def _open(self, feed: Feed, result: Mapping[str, Any]) -> None:
        feed.watch_id, feed.position = str(result["watch_id"]), int(result["position"] or 0)
        self._feeds[feed.watch_id] = feed

    async def _leave(self, feed: Feed) -> None:
        """The server need not go on."""
        if self._feeds.pop(feed.watch_id, None) is None or feed.end in {End.COMPACTED, End.LOST}:
            return
        with contextlib.suppress(Disconnected, Refused, Forbidden):
            await feed.wire.ask("agent.unwatch", {"watch_id": feed.watch_id})
