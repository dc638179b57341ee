"""What happens to instances, told to everybody who watches: one tail of the log per process, however many watch.

Rules
  1. Events reach a watcher in the order of their positions, each once, and none is left out: who has read up to a position and comes
     back with it goes on behind it, on any replica.
  2. Who asks for more than is kept is told so (Compacted), and never given a gap.
  3. A watcher reads at its own pace, within a bound. Who falls behind that far is dropped (SlowReader); others never wait.
  4. A watcher of one tenant sees that tenant's events, and no other's.

           publish: inbox → log          offer                take
    NOTIFY ──────────────────→ the tail ───────→ Subscription ──────→ watcher
                                     the log ──── catch up ────↗
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

import structlog

from robyn_server.core.errors import Invalid, Unavailable
from robyn_server.core.registry import EventKind, InstanceEvent, InstanceFilter
from robyn_server.metrics.definitions import PROPAGATION_SECONDS, SLOW_CONSUMERS, WATCHERS
from robyn_server.registry.protocols import Compacted, SlowReader
from robyn_server.storage.leases import Leases

from .background import Periodic

AGENT_EVENTS = "agent_events"
"""Channel. Payload: empty (the inbox has something), or the last position published."""

ROOM = 2000
"""Events that may wait for one watcher."""

_POLL_SECONDS = 1.0
_LONGEST_BACKOFF = 5.0
_GATHER_SECONDS = 0.02
_BATCH = 500
_AT_ONCE = 2
"""Watchers that catch up at the same time: of a thousand that come back together, each page is one query."""

_PLACE_SECONDS = 5.0
_CHANGES_WORDS = frozenset({EventKind.UPDATED, EventKind.RECONNECTED})

_log = structlog.get_logger(__name__)


class Subscription:
    """One watcher's place. Iterate over it: lists of events. Raises Compacted, SlowReader, Unavailable (the process stops)."""

    def __init__(self, watch: Watch, tenant: UUID | None, wanted: InstanceFilter, after: int) -> None:
        self.tenant = tenant
        self.position = after
        """Where to resume: behind the last event that was taken."""
        self._watch = watch
        self._wanted = wanted
        self._waiting: list[InstanceEvent] = []
        self._arrived = asyncio.Event()
        self._end: Exception | None = None

    async def __aiter__(self) -> AsyncIterator[Sequence[InstanceEvent]]:
        async for events in self._watch.catch_up(self):
            chosen = self._chosen(events)
            if chosen:
                self.position = chosen[-1].position
                yield chosen
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            if self._end is not None:
                raise self._end
            events, self._waiting = self._waiting, []
            self.position = events[-1].position
            yield events

    def offer(self, events: Sequence[InstanceEvent]) -> None:
        chosen = self._chosen(events)
        if not chosen:
            self._pass(events)
            return
        if len(self._waiting) + len(chosen) > self._watch.room:
            SLOW_CONSUMERS.inc("watch")
            self.end(SlowReader(f"{self._watch.room} events wait already"))
            return
        self._waiting += chosen
        self._arrived.set()

    def _pass(self, events: Sequence[InstanceEvent]) -> None:
        """None of them is wanted: whoever has taken all before has these behind as well."""
        if not self._waiting:
            self.position = max(self.position, events[-1].position)

    def end(self, reason: Exception) -> None:
        """It is told so at its next step; what waits is not."""
        self._watch.drop(self)
        self._waiting = []
        self._end = reason
        self._arrived.set()

    def _chosen(self, events: Sequence[InstanceEvent]) -> list[InstanceEvent]:
        return [event for event in events if event.position > self.position and fits(event, self._wanted)]


class Watch:
    def __init__(self, leases: Leases, *, room: int = ROOM, poll: float = _POLL_SECONDS) -> None:
        self.room = room
        self.position = -1
        """Events up to here have been handed out; -1: nothing is known yet."""
        self._leases = leases
        self._placed = asyncio.Event()
        self._live: dict[UUID | None, set[Subscription]] = {}
        self._open: set[Subscription] = set()
        self._catching_up = asyncio.Semaphore(_AT_ONCE)
        self._tail = Periodic("instance watch", self._follow, poll, retry=0.2, longest=_LONGEST_BACKOFF)

    def __len__(self) -> int:
        return len(self._open)

    def start(self) -> None:
        WATCHERS.follow(lambda: len(self._open))
        self._tail.start()

    async def stop(self) -> None:
        await self._tail.stop()
        self._end_all(Unavailable("The server stops; watch again from the last position"))

    def wake(self, payload: str) -> None:
        """Takes a notification's payload."""
        if not (payload.isdigit() and int(payload) <= self.position):
            self._tail.wake()

    def wake_all(self) -> None:
        self._tail.wake()

    async def last_position(self) -> int:
        """Who lists after this, and then watches from it, misses nothing. Raises Unavailable."""
        if self.position < 0:
            try:
                async with asyncio.timeout(_PLACE_SECONDS):
                    await self._placed.wait()
            except TimeoutError:
                raise Unavailable("The events of instances cannot be read now; try again") from None
        return self.position

    @contextlib.asynccontextmanager
    async def subscribe(
        self, tenant: UUID | None, wanted: InstanceFilter, after: int | None = None
    ) -> AsyncIterator[Subscription]:
        """Events of `tenant` (None: of all) behind `after`, or from now on. Raises Compacted, Invalid, Unavailable."""
        check_watchable(wanted)
        newest = await self.last_position()
        if after is not None and after != newest:
            await self._check_kept(after)
        subscription = Subscription(self, tenant, wanted, newest if after is None else after)
        self._open.add(subscription)
        if subscription.position >= self.position:
            self._attach(subscription)
        try:
            yield subscription
        finally:
            self.drop(subscription)

    async def _check_kept(self, after: int) -> None:
        log = await self._leases.event_log()
        if (
            not log.lowest - 1 <= after <= log.last
        ):  # a position from the future is another database's, or one of before a restore
            raise Compacted(log.last)

    async def catch_up(self, subscription: Subscription) -> AsyncIterator[Sequence[InstanceEvent]]:
        """From the log, until the tail can take over. Raises Compacted, Unavailable."""
        place = subscription.position
        while subscription in self._open and not self._is_attached(subscription):
            async with self._catching_up:
                page = await self._leases.read_events_of(subscription.tenant, place, _BATCH)
            if place < page.log.lowest - 1:
                raise Compacted(page.log.last)
            place = page.events[-1].position if len(page.events) == _BATCH else page.log.last
            if page.events:
                yield page.events
            if place >= self.position and subscription in self._open:
                subscription.position = max(subscription.position, place)
                self._attach(subscription)

    def _is_attached(self, subscription: Subscription) -> bool:
        return subscription in self._live.get(subscription.tenant, ())

    def _attach(self, subscription: Subscription) -> None:
        self._live.setdefault(subscription.tenant, set()).add(subscription)

    def drop(self, subscription: Subscription) -> None:
        self._open.discard(subscription)
        live = self._live.get(subscription.tenant)
        if live is not None:
            live.discard(subscription)
            if not live:
                del self._live[subscription.tenant]

    async def _follow(self) -> None:
        if self.position < 0:
            self.position = (await self._leases.event_log()).last
            self._placed.set()
        await asyncio.sleep(_GATHER_SECONDS)  # what comes together is published together
        while True:
            before = self.position
            last = await self._leases.publish_events(_BATCH)
            await self._read_up_to(last)
            if last < before + _BATCH:
                return

    async def _read_up_to(self, last: int) -> None:
        if last < self.position:
            _log.warning("the events of instances begin anew: the database is another one than before")
            self._begin_at(last)
        if not self._live:
            self.position = last
        while self.position < last:
            events, ages = await self._leases.read_events(self.position, _BATCH)
            if not events or events[0].position != self.position + 1:
                _log.warning("events of instances were forgotten before they were read", behind=self.position)
                self._begin_at(last)
                return
            self._hand_out(events)
            for age in ages:
                PROPAGATION_SECONDS.observe(age)

    def _begin_at(self, position: int) -> None:
        self.position = position
        self._end_all(Compacted(position))

    def _hand_out(self, events: Sequence[InstanceEvent]) -> None:
        """No await in here: whoever subscribes sees all of a batch as handed out, or nothing of it."""
        of: dict[UUID | None, list[InstanceEvent]] = {}
        for event in events:
            of.setdefault(event.tenant_id, []).append(event)
        for tenant, some in [*of.items(), (None, events)]:
            for subscription in list(self._live.get(tenant, ())):
                subscription.offer(some)
        self.position = events[-1].position

    def _end_all(self, reason: Exception) -> None:
        for subscription in list(self._open):
            subscription.end(reason)


def check_watchable(wanted: InstanceFilter) -> None:
    """Raises Invalid for what changes without an event, or within one: whoever watched by it would miss that it ends."""
    for name in ("health", "version", "free_slots", "status"):
        if getattr(wanted, name) is not None:
            raise Invalid(f"{name}: instances cannot be watched by it; look at it in the events", field=name)


def fits(event: InstanceEvent, wanted: InstanceFilter) -> bool:
    """What may have changed an instance's words is told to all who watch by words: they would not hear that it lost one."""
    if wanted.agent_id is not None and event.agent_id != wanted.agent_id:
        return False
    if event.kind in _CHANGES_WORDS:
        return True
    instance: Any = event.instance
    return (
        set(wanted.capabilities) <= set(instance.get("capabilities") or ())
        and set(wanted.tags) <= set(instance.get("tags") or ())
        and wanted.zone in {None, instance.get("zone")}
    )
