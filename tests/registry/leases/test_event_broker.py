"""Every watcher gets its organization's events in order, each once, also after it resumes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from deadlines import DEADLINE
from lease_database import ORG_1, ORG_2, LeaseDatabase
from servers.live_server import until

from robyn_server.core.errors import Invalid, Unavailable
from robyn_server.core.registry.instances import EventKind, HealthStatus, InstanceEvent, InstanceFilter
from robyn_server.registry.leases.event_broker import (
    AGENT_EVENTS,
    Compacted,
    InstanceEventBroker,
    SlowReader,
    Subscription,
)
from robyn_server.storage.postgres.notify import Listener

ALL = InstanceFilter()


@contextlib.asynccontextmanager
async def running_broker(lease_db: LeaseDatabase, **options: Any) -> AsyncIterator[InstanceEventBroker]:
    """A running broker with its listener."""
    broker = InstanceEventBroker(lease_db.leases, **options)
    listener = Listener(lease_db.url, "tests", {AGENT_EVENTS: broker.wake}, broker.wake_all)
    broker.start()
    listener.start()
    try:
        await until(lambda: listener.connected)
        await broker.last_position()
        yield broker
    finally:
        await listener.stop()
        await broker.stop()


@pytest.fixture
async def broker(lease_db: LeaseDatabase) -> AsyncIterator[InstanceEventBroker]:
    async with running_broker(lease_db) as broker:
        yield broker


async def take(subscription: Subscription, count: int) -> list[InstanceEvent]:
    """Return the next `count` events, or more."""
    found: list[InstanceEvent] = []
    async with asyncio.timeout(DEADLINE):
        async for events in subscription:
            found += events
            if len(found) >= count:
                return found
    return found


def _places(events: list[InstanceEvent]) -> list[int]:
    return [event.position for event in events]


async def test_changes_arrive_in_order_with_the_public_representation(
    lease_db: LeaseDatabase, broker: InstanceEventBroker
) -> None:
    async with broker.subscribe(ORG_1, ALL) as subscription:
        registered = await lease_db.register("i1", capabilities=("search",), connection_details={"token": "s3cret"})
        await lease_db.instances.drain(ORG_1, registered.registration_id, 1, None)
        await lease_db.instances.deregister(ORG_1, registered.registration_id, 1, "done")
        events = await take(subscription, 3)
    assert [event.kind for event in events] == [EventKind.REGISTERED, EventKind.DRAINING, EventKind.DEREGISTERED]
    assert _places(events) == [1, 2, 3]
    first = events[0]
    assert (first.tenant_id, first.agent_id, first.registration_id) == (ORG_1, "ide", registered.registration_id)
    assert first.instance["registration_id"] == str(registered.registration_id)
    assert (first.instance["epoch"], first.instance["capabilities"]) == (1, ["search"])
    assert "s3cret" not in str(first.instance)


async def test_a_watcher_gets_events_of_its_organization_only(
    lease_db: LeaseDatabase, broker: InstanceEventBroker
) -> None:
    async with (
        broker.subscribe(ORG_1, ALL) as mine,
        broker.subscribe(ORG_2, ALL) as theirs,
        broker.subscribe(None, ALL) as of_all,
    ):
        await lease_db.register("a", ORG_1)
        await lease_db.register("b", ORG_2)
        await lease_db.register("c", ORG_1)
        assert [event.instance["instance_id"] for event in await take(mine, 2)] == ["a", "c"]
        assert [event.instance["instance_id"] for event in await take(theirs, 1)] == ["b"]
        assert len(await take(of_all, 3)) == 3
    async with broker.subscribe(ORG_2, ALL, after=0) as resumed:
        assert [event.tenant_id for event in await take(resumed, 1)] == [ORG_2]


async def test_watching_by_agent_capability_tag_and_zone(lease_db: LeaseDatabase, broker: InstanceEventBroker) -> None:
    filters = [
        InstanceFilter(agent_id="bot"),
        InstanceFilter(capabilities=("a", "b")),
        InstanceFilter(tags=("blue",)),
        InstanceFilter(zone="eu"),
    ]
    async with contextlib.AsyncExitStack() as stack:
        subscriptions = [await stack.enter_async_context(broker.subscribe(ORG_1, wanted)) for wanted in filters]
        await lease_db.register("1", agent_id="bot")
        await lease_db.register("2", capabilities=("a", "b", "c"))
        await lease_db.register("3", tags=("blue",))
        await lease_db.register("4", zone="eu")
        found = [(await take(each, 1))[0].instance["instance_id"] for each in subscriptions]
    assert found == ["1", "2", "3", "4"]


async def test_a_watcher_by_capability_learns_that_an_instance_lost_it(
    lease_db: LeaseDatabase, broker: InstanceEventBroker
) -> None:
    from robyn_server.core.registry.instances import InstanceChange

    async with broker.subscribe(ORG_1, InstanceFilter(capabilities=("a",))) as subscription:
        registered = await lease_db.register("1", capabilities=("a",))
        await lease_db.instances.update(ORG_1, registered.registration_id, 1, InstanceChange(capabilities=("b",)))
        events = await take(subscription, 2)
    assert [event.instance["capabilities"] for event in events] == [["a"], ["b"]]


@pytest.mark.parametrize(
    "wanted", [InstanceFilter(health=HealthStatus.HEALTHY), InstanceFilter(version=">1"), InstanceFilter(free_slots=1)]
)
async def test_conditions_that_change_without_an_event_are_refused(
    broker: InstanceEventBroker, wanted: InstanceFilter
) -> None:
    with pytest.raises(Invalid):
        async with broker.subscribe(ORG_1, wanted):
            pass


async def test_a_watcher_resumes_after_the_last_event_it_saw(
    lease_db: LeaseDatabase, broker: InstanceEventBroker
) -> None:
    async with broker.subscribe(ORG_1, ALL) as subscription:
        await lease_db.register("1")
        (first,) = await take(subscription, 1)
    for number in range(2, 6):
        await lease_db.register(str(number))
    async with broker.subscribe(ORG_1, ALL, after=first.position) as subscription:
        assert _places(await take(subscription, 4)) == [2, 3, 4, 5]
        await lease_db.register("6")
        assert _places(await take(subscription, 1)) == [6]
        assert subscription.position == 6


async def test_catching_up_reads_pages_and_joins_new_events(
    lease_db: LeaseDatabase, broker: InstanceEventBroker
) -> None:
    """There are 1,203 old events, and new ones are written while they are read."""
    await lease_db.register("1")
    await lease_db.leases.publish_events(10)
    await lease_db.owner.execute(
        "insert into mcp.agent_event_inbox (tenant_id, registration_id, agent_id, kind, instance, at) "
        "select tenant_id, registration_id, agent_id, 'updated', instance, at from mcp.agent_events, generate_series(1, 1203)"
    )
    await until(lambda: broker.position == 1204)
    found: list[InstanceEvent] = []
    async with broker.subscribe(ORG_1, ALL, after=1) as subscription:
        async with asyncio.timeout(DEADLINE):
            async for events in subscription:
                if not found:
                    await asyncio.gather(*(lease_db.register(f"more{n}") for n in range(20)))
                found += events
                if len(found) >= 1223:
                    break
    assert _places(found) == list(range(2, 1225))


async def test_listing_and_then_watching_misses_nothing(lease_db: LeaseDatabase, broker: InstanceEventBroker) -> None:
    """Instances register meanwhile. The list and the events together have all of them."""
    registering = asyncio.create_task(_register_some(lease_db, 60))
    await until(lambda: broker.position >= 5)
    position = await broker.last_position()
    listed = {
        row["instance_id"] for row in await lease_db.owner.fetch("select instance_id from mcp.agent_registrations")
    }
    async with broker.subscribe(ORG_1, ALL, after=position) as subscription:
        await registering
        following = aiter(subscription)
        async with asyncio.timeout(DEADLINE):
            while len(listed) < 60:  # no event is needed if all had registered before the list
                listed |= {event.instance["instance_id"] for event in await anext(following)}
    assert len(listed) == 60


async def _register_some(lease_db: LeaseDatabase, count: int) -> None:
    for number in range(count):
        await lease_db.register(f"n{number}")


async def test_a_position_that_is_gone_or_never_existed_is_compacted(
    lease_db: LeaseDatabase, broker: InstanceEventBroker
) -> None:
    await lease_db.register_many(6)
    await until(lambda: broker.position == 6)
    assert await lease_db.leases.compact_events(timedelta(hours=1), 2) == 5
    for after in (0, 3, 7, 2**62):
        with pytest.raises(Compacted) as gone:
            async with broker.subscribe(ORG_1, ALL, after=after):
                pass
        assert gone.value.position == 6
    async with broker.subscribe(ORG_1, ALL, after=4) as subscription:
        assert _places(await take(subscription, 2)) == [5, 6]
    async with broker.subscribe(ORG_1, ALL, after=6) as subscription:
        await lease_db.register("i0")
        assert _places(await take(subscription, 1)) == [7]


async def test_a_watcher_that_compaction_overtakes_while_it_catches_up_is_compacted(
    lease_db: LeaseDatabase, broker: InstanceEventBroker
) -> None:
    await lease_db.register_many(6)
    await until(lambda: broker.position == 6)
    async with broker.subscribe(ORG_1, ALL, after=1) as subscription:
        await lease_db.leases.compact_events(timedelta(hours=1), 2)
        with pytest.raises(Compacted):
            await take(subscription, 1)


async def test_a_slow_reader_is_removed_and_others_continue(lease_db: LeaseDatabase) -> None:
    async with running_broker(lease_db, max_buffered=10) as broker, broker.subscribe(ORG_1, ALL) as slow:
        async with broker.subscribe(ORG_1, ALL) as quick:
            read = 0
            while read < 30:  # half of the buffer at a time, so that this watcher is never slow
                for number in range(read, read + 5):
                    await lease_db.register(f"i{number}")
                read += len(await take(quick, 5))
            assert read == 30
            with pytest.raises(SlowReader):
                await take(slow, 1)
            assert len(broker) == 1
        async with broker.subscribe(ORG_1, ALL, after=slow.position) as back:
            assert len(await take(back, 30)) == 30


async def test_an_event_whose_notification_is_lost_arrives_with_the_next_poll(lease_db: LeaseDatabase) -> None:
    broker = InstanceEventBroker(lease_db.leases, poll=0.1)
    broker.start()
    try:
        async with broker.subscribe(ORG_1, ALL) as subscription:
            await lease_db.register("1")
            assert _places(await take(subscription, 1)) == [1]
    finally:
        await broker.stop()


async def test_several_processes_see_the_same_order(lease_db: LeaseDatabase) -> None:
    async with (
        running_broker(lease_db) as one,
        running_broker(lease_db) as two,
        one.subscribe(None, ALL) as first,
        two.subscribe(None, ALL) as second,
    ):
        await asyncio.gather(*(lease_db.register(f"i{n}", UUID(int=1 + n % 3)) for n in range(60)))
        a, b = await asyncio.gather(take(first, 60), take(second, 60))
    seen = [(event.position, event.registration_id) for event in a]
    assert seen == [(event.position, event.registration_id) for event in b]
    assert [position for position, _ in seen] == list(range(1, 61))


async def test_a_replaced_log_ends_all_watches(lease_db: LeaseDatabase) -> None:
    """After a restored backup, positions are lower than those already delivered."""
    async with running_broker(lease_db, poll=0.1) as broker:
        await lease_db.register_many(3)
        await until(lambda: broker.position == 3)
        async with broker.subscribe(ORG_1, ALL) as subscription:
            await lease_db.clear()
            with pytest.raises(Compacted) as gone:
                await take(subscription, 1)
            assert gone.value.position == 0


async def test_stopping_the_broker_ends_all_subscriptions(lease_db: LeaseDatabase, broker: InstanceEventBroker) -> None:
    async with broker.subscribe(ORG_1, ALL) as subscription:
        await broker.stop()
        with pytest.raises(Unavailable):
            await take(subscription, 1)


async def test_a_thousand_watchers_of_twenty_organizations_each_get_their_own_events(
    lease_db: LeaseDatabase, broker: InstanceEventBroker
) -> None:
    """Measured in docs/explanation/leases.md."""
    tenants = [UUID(int=100 + n) for n in range(20)]
    heard: list[InstanceEvent] = []

    async def follow(subscription: Subscription) -> None:
        async for events in subscription:
            heard.extend(events)

    async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        subscriptions = [await stack.enter_async_context(broker.subscribe(tenants[n % 20], ALL)) for n in range(1000)]
        tasks = [group.create_task(follow(each)) for each in subscriptions]
        for tenant in tenants:
            await lease_db.register("1", tenant)
        await until(lambda: len(heard) == 1000)
        for task in tasks:
            task.cancel()
    assert len({event.position for event in heard}) == 20
