"""Deliver instance events to watchers. Each process reads the event log once, however many watch.

Rules
  1. A watcher gets events in the order of their positions, each once and without gaps. It can resume after a position
     on any replica.
  2. A watcher that asks for events which are no longer kept gets Compacted, never a gap.
  3. A watcher reads at its own pace, within a buffer. One that falls further behind is removed (SlowReader); others
     never wait for it.
  4. A watcher of one organization gets that organization's events only.

           publish: inbox → log          deliver              iterate
    NOTIFY ──────────────────→ the broker ───────→ Subscription ───────→ watcher
                                  the log ──── catch up ────↗
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

import structlog

from robyn_server.concurrency.periodic import Periodic
from robyn_server.core.errors import Invalid, Unavailable
from robyn_server.core.registry.instances import EventKind, InstanceEvent, InstanceFilter
from robyn_server.metrics.definitions import PROPAGATION_SECONDS, SLOW_CONSUMERS, WATCHERS
from robyn_server.storage.registry.instances.leases import Leases

AGENT_EVENTS = "agent_events"
"""Channel. The payload is empty (events wait in the inbox), or the last published position."""

MAX_BUFFERED = 2000
"""Events that may wait for one watcher."""

_POLL_SECONDS = 1.0
_LONGEST_BACKOFF = 5.0
_COLLECT_SECONDS = 0.02
_BATCH = 500
_CATCHING_UP_AT_ONCE = 2
"""Watchers that read the log at the same time. Each page is one query, and a thousand may come back together."""

_FIRST_POSITION_SECONDS = 5.0
_TERM_CHANGES = frozenset({EventKind.UPDATED, EventKind.RECONNECTED})

_log = structlog.get_logger(__name__)


class Compacted(Exception):
    """Events after the requested position are no longer kept: list the instances again.

    `position` is the last one of the log.
    """

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.position = position


class SlowReader(Exception):
    """The subscriber has fallen further behind than its buffer allows."""


class Subscription:
    """The events of one watcher, as an async iterator of lists.

    Iterating raises Compacted, SlowReader, Unavailable (shutdown).
    """

    def __init__(
        self, broker: InstanceEventBroker, organization_id: UUID | None, instance_filter: InstanceFilter, after: int
    ) -> None:
        self.organization_id = organization_id
        self.position = after
        """The position to resume after: that of the last event that was iterated over."""
        self._broker = broker
        self._filter = instance_filter
        self._buffer: list[InstanceEvent] = []
        self._arrived = asyncio.Event()
        self._end: Exception | None = None

    async def __aiter__(self) -> AsyncIterator[Sequence[InstanceEvent]]:
        async for page in self._broker.catch_up(self):
            events = self._select(page)
            if events:
                self.position = events[-1].position
                yield events
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            if self._end is not None:
                raise self._end
            events, self._buffer = self._buffer, []
            self.position = events[-1].position
            yield events

    def deliver(self, events: Sequence[InstanceEvent]) -> None:
        selected = self._select(events)
        if not selected:
            self._skip(events)
            return
        if len(self._buffer) + len(selected) > self._broker.max_buffered:
            SLOW_CONSUMERS.inc("watch")
            self.end(SlowReader(f"{self._broker.max_buffered} events are waiting"))
            return
        self._buffer += selected
        self._arrived.set()

    def end(self, reason: Exception) -> None:
        """Discard the buffer and raise `reason` at the next step of the iteration."""
        self._broker.remove(self)
        self._buffer = []
        self._end = reason
        self._arrived.set()

    def _skip(self, events: Sequence[InstanceEvent]) -> None:
        # A watcher that has read everything before these need not read them again when it resumes.
        if not self._buffer:
            self.position = max(self.position, events[-1].position)

    def _select(self, events: Sequence[InstanceEvent]) -> list[InstanceEvent]:
        return [event for event in events if event.position > self.position and matches(event, self._filter)]


class InstanceEventBroker:
    def __init__(self, leases: Leases, *, max_buffered: int = MAX_BUFFERED, poll: float = _POLL_SECONDS) -> None:
        self.max_buffered = max_buffered
        self.position = -1
        """The position up to which events have been delivered; -1 before the log was read first."""
        self._leases = leases
        self._has_position = asyncio.Event()
        self._subscriptions: set[Subscription] = set()
        self._attached: dict[UUID | None, set[Subscription]] = {}
        """Subscriptions that get new events, by organization. The others are catching up."""
        self._catch_up_slots = asyncio.Semaphore(_CATCHING_UP_AT_ONCE)
        self._reader = Periodic("instance event broker", self._read_new, poll, retry=0.2, longest=_LONGEST_BACKOFF)

    def __len__(self) -> int:
        return len(self._subscriptions)

    def start(self) -> None:
        WATCHERS.set_function(lambda: len(self._subscriptions))
        self._reader.start()

    async def stop(self) -> None:
        await self._reader.stop()
        self._end_all(Unavailable("The server is stopping. Watch again from the last position."))

    def wake(self, payload: str) -> None:
        """Handle a notification of AGENT_EVENTS."""
        if not (payload.isdigit() and int(payload) <= self.position):
            self._reader.wake()

    def wake_all(self) -> None:
        self._reader.wake()

    async def last_position(self) -> int:
        """Return a position such that listing afterwards, and then watching from it, misses nothing.

        Raises Unavailable.
        """
        if self.position < 0:
            try:
                async with asyncio.timeout(_FIRST_POSITION_SECONDS):
                    await self._has_position.wait()
            except TimeoutError:
                raise Unavailable("Instance events cannot be read now. Try again.") from None
        return self.position

    @contextlib.asynccontextmanager
    async def subscribe(
        self, organization_id: UUID | None, instance_filter: InstanceFilter, after: int | None = None
    ) -> AsyncIterator[Subscription]:
        """Subscribe to the events of an organization (None: of all) after a position (None: from now on).

        Raises Compacted, Invalid, Unavailable.
        """
        validate_watch_filter(instance_filter)
        last = await self.last_position()
        if after is not None and after != last:
            await self._check_kept(after)
        subscription = Subscription(self, organization_id, instance_filter, last if after is None else after)
        self._subscriptions.add(subscription)
        if subscription.position >= self.position:
            self._attach(subscription)
        try:
            yield subscription
        finally:
            self.remove(subscription)

    async def _check_kept(self, after: int) -> None:
        log = await self._leases.event_log()
        # A position beyond the log's end comes from another database, or from before a backup was restored.
        if not log.lowest - 1 <= after <= log.last:
            raise Compacted(log.last)

    async def catch_up(self, subscription: Subscription) -> AsyncIterator[Sequence[InstanceEvent]]:
        """Read pages of the log until the subscription gets new events from the broker.

        Raises Compacted, Unavailable.
        """
        position = subscription.position
        while subscription in self._subscriptions and not self._is_attached(subscription):
            async with self._catch_up_slots:
                page = await self._leases.read_events_of(subscription.organization_id, position, _BATCH)
            if position < page.log.lowest - 1:
                raise Compacted(page.log.last)
            position = page.events[-1].position if len(page.events) == _BATCH else page.log.last
            if page.events:
                yield page.events
            if position >= self.position and subscription in self._subscriptions:
                subscription.position = max(subscription.position, position)
                self._attach(subscription)

    def remove(self, subscription: Subscription) -> None:
        self._subscriptions.discard(subscription)
        attached = self._attached.get(subscription.organization_id)
        if attached is not None:
            attached.discard(subscription)
            if not attached:
                del self._attached[subscription.organization_id]

    def _is_attached(self, subscription: Subscription) -> bool:
        return subscription in self._attached.get(subscription.organization_id, ())

    def _attach(self, subscription: Subscription) -> None:
        self._attached.setdefault(subscription.organization_id, set()).add(subscription)

    async def _read_new(self) -> None:
        if self.position < 0:
            self.position = (await self._leases.event_log()).last
            self._has_position.set()
        await asyncio.sleep(_COLLECT_SECONDS)  # events that arrive together are published together
        while True:
            before = self.position
            last = await self._leases.publish_events(_BATCH)
            await self._read_up_to(last)
            if last < before + _BATCH:
                return

    async def _read_up_to(self, last: int) -> None:
        if last < self.position:
            _log.warning("instance events start again at a lower position: the database was replaced or restored")
            self._restart_at(last)
        if not self._attached:
            self.position = last
        while self.position < last:
            events, ages = await self._leases.read_events(self.position, _BATCH)
            if not events or events[0].position != self.position + 1:
                _log.warning("instance events were deleted before they were read", behind=self.position)
                self._restart_at(last)
                return
            self._deliver(events)
            for age in ages:
                PROPAGATION_SECONDS.observe(age)

    def _restart_at(self, position: int) -> None:
        self.position = position
        self._end_all(Compacted(position))

    def _deliver(self, events: Sequence[InstanceEvent]) -> None:
        # There is no await here: a new subscription finds either all events of a batch delivered, or none.
        by_organization: dict[UUID | None, list[InstanceEvent]] = {}
        for event in events:
            by_organization.setdefault(event.tenant_id, []).append(event)
        for organization_id, its_events in [*by_organization.items(), (None, events)]:
            for subscription in list(self._attached.get(organization_id, ())):
                subscription.deliver(its_events)
        self.position = events[-1].position

    def _end_all(self, reason: Exception) -> None:
        for subscription in list(self._subscriptions):
            subscription.end(reason)


def validate_watch_filter(instance_filter: InstanceFilter) -> None:
    """Raise Invalid for conditions that can change without an event, because a watcher would not notice that they no
    longer match."""
    for name in ("health", "version", "free_slots", "status"):
        if getattr(instance_filter, name) is not None:
            raise Invalid(f"{name}: instances cannot be watched by it; look at it in the events", field=name)


def matches(event: InstanceEvent, instance_filter: InstanceFilter) -> bool:
    """Return whether an event is for a watcher.

    Events that may have changed an instance's capabilities, tags or zone match any of them, because a watcher must
    learn that the instance lost one.
    """
    if instance_filter.agent_id is not None and event.agent_id != instance_filter.agent_id:
        return False
    if event.kind in _TERM_CHANGES:
        return True
    instance: Any = event.instance
    return (
        set(instance_filter.capabilities) <= set(instance.get("capabilities") or ())
        and set(instance_filter.tags) <= set(instance.get("tags") or ())
        and instance_filter.zone in {None, instance.get("zone")}
    )
