"""Every watcher sees its tenant's events, in order, each once, whenever it comes and comes back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from leased import T1, T2, Leased
from live_server import until

from robyn_server.core.errors import Invalid, Unavailable
from robyn_server.core.registry import EventKind, HealthStatus, InstanceEvent, InstanceFilter
from robyn_server.registry.protocols import Compacted, SlowReader
from robyn_server.runtime.channels import Listener
from robyn_server.runtime.instance_watch import AGENT_EVENTS, Subscription, Watch

ALL = InstanceFilter()


@contextlib.asynccontextmanager
async def watching(leased: Leased, **options: Any) -> AsyncIterator[Watch]:
    """A running watch with its listener."""
    watch = Watch(leased.leases, **options)
    listener = Listener(leased.url, "tests", {AGENT_EVENTS: watch.wake}, watch.wake_all)
    watch.start()
    listener.start()
    try:
        await until(lambda: listener.connected)
        await watch.last_position()
        yield watch
    finally:
        await listener.stop()
        await watch.stop()


@pytest.fixture
async def watch(leased: Leased) -> AsyncIterator[Watch]:
    async with watching(leased) as watch:
        yield watch


async def take(subscription: Subscription, count: int) -> list[InstanceEvent]:
    """The next `count` events, or more."""
    found: list[InstanceEvent] = []
    async with asyncio.timeout(20):
        async for events in subscription:
            found += events
            if len(found) >= count:
                return found
    return found


def _places(events: list[InstanceEvent]) -> list[int]:
    return [event.position for event in events]


async def test_changes_arrive_in_order_with_the_instance_as_the_api_shows_it(leased: Leased, watch: Watch) -> None:
    async with watch.subscribe(T1, ALL) as subscription:
        registered = await leased.register("i1", capabilities=("search",), connection_details={"token": "s3cret"})
        await leased.instances.drain(T1, registered.registration_id, 1, None)
        await leased.instances.deregister(T1, registered.registration_id, 1, "done")
        events = await take(subscription, 3)
    assert [event.kind for event in events] == [EventKind.REGISTERED, EventKind.DRAINING, EventKind.DEREGISTERED]
    assert _places(events) == [1, 2, 3]
    first = events[0]
    assert (first.tenant_id, first.agent_id, first.registration_id) == (T1, "ide", registered.registration_id)
    assert first.instance["registration_id"] == str(registered.registration_id)
    assert (first.instance["epoch"], first.instance["capabilities"]) == (1, ["search"])
    assert "s3cret" not in str(first.instance)


async def test_nobody_sees_another_tenant_s(leased: Leased, watch: Watch) -> None:
    async with (
        watch.subscribe(T1, ALL) as mine,
        watch.subscribe(T2, ALL) as theirs,
        watch.subscribe(None, ALL) as of_all,
    ):
        await leased.register("a", T1)
        await leased.register("b", T2)
        await leased.register("c", T1)
        assert [event.instance["instance_id"] for event in await take(mine, 2)] == ["a", "c"]
        assert [event.instance["instance_id"] for event in await take(theirs, 1)] == ["b"]
        assert len(await take(of_all, 3)) == 3
    async with watch.subscribe(T2, ALL, after=0) as resumed:
        assert [event.tenant_id for event in await take(resumed, 1)] == [T2]


async def test_by_agent_capability_tag_and_zone(leased: Leased, watch: Watch) -> None:
    filters = [
        InstanceFilter(agent_id="bot"),
        InstanceFilter(capabilities=("a", "b")),
        InstanceFilter(tags=("blue",)),
        InstanceFilter(zone="eu"),
    ]
    async with contextlib.AsyncExitStack() as stack:
        subscriptions = [await stack.enter_async_context(watch.subscribe(T1, wanted)) for wanted in filters]
        await leased.register("1", agent_id="bot")
        await leased.register("2", capabilities=("a", "b", "c"))
        await leased.register("3", tags=("blue",))
        await leased.register("4", zone="eu")
        found = [(await take(each, 1))[0].instance["instance_id"] for each in subscriptions]
    assert found == ["1", "2", "3", "4"]


async def test_who_watches_by_a_word_hears_that_an_instance_lost_it(leased: Leased, watch: Watch) -> None:
    from robyn_server.core.registry import InstanceChange

    async with watch.subscribe(T1, InstanceFilter(capabilities=("a",))) as subscription:
        registered = await leased.register("1", capabilities=("a",))
        await leased.instances.update(T1, registered.registration_id, 1, InstanceChange(capabilities=("b",)))
        events = await take(subscription, 2)
    assert [event.instance["capabilities"] for event in events] == [["a"], ["b"]]


@pytest.mark.parametrize(
    "wanted", [InstanceFilter(health=HealthStatus.HEALTHY), InstanceFilter(version=">1"), InstanceFilter(free_slots=1)]
)
async def test_what_changes_without_an_event_cannot_be_watched_by(watch: Watch, wanted: InstanceFilter) -> None:
    with pytest.raises(Invalid):
        async with watch.subscribe(T1, wanted):
            pass


async def test_who_comes_back_goes_on_behind_what_it_saw(leased: Leased, watch: Watch) -> None:
    async with watch.subscribe(T1, ALL) as subscription:
        await leased.register("1")
        (first,) = await take(subscription, 1)
    for number in range(2, 6):
        await leased.register(str(number))
    async with watch.subscribe(T1, ALL, after=first.position) as subscription:
        assert _places(await take(subscription, 4)) == [2, 3, 4, 5]
        await leased.register("6")
        assert _places(await take(subscription, 1)) == [6]
        assert subscription.position == 6


async def test_a_long_way_back_is_read_in_pages_and_joins_what_happens_meanwhile(leased: Leased, watch: Watch) -> None:
    """1,203 events lie behind; more come while they are read."""
    await leased.register("1")
    await leased.leases.publish_events(10)
    await leased.owner.execute(
        "insert into mcp.agent_event_inbox (tenant_id, registration_id, agent_id, kind, instance, at) "
        "select tenant_id, registration_id, agent_id, 'updated', instance, at from mcp.agent_events, generate_series(1, 1203)"
    )
    await until(lambda: watch.position == 1204)
    found: list[InstanceEvent] = []
    async with watch.subscribe(T1, ALL, after=1) as subscription:
        async with asyncio.timeout(20):
            async for events in subscription:
                if not found:
                    await asyncio.gather(*(leased.register(f"more{n}") for n in range(20)))
                found += events
                if len(found) >= 1223:
                    break
    assert _places(found) == list(range(2, 1225))


async def test_who_lists_and_then_watches_misses_nothing(leased: Leased, watch: Watch) -> None:
    """Instances register all the while; list and events together are all of them."""
    registering = asyncio.create_task(_register_some(leased, 60))
    await until(lambda: watch.position >= 5)
    position = await watch.last_position()
    listed = {row["instance_id"] for row in await leased.owner.fetch("select instance_id from mcp.agent_registrations")}
    async with watch.subscribe(T1, ALL, after=position) as subscription:
        await registering
        following = aiter(subscription)
        async with asyncio.timeout(20):
            while len(listed) < 60:  # at once where all had registered before they were listed
                listed |= {event.instance["instance_id"] for event in await anext(following)}
    assert len(listed) == 60


async def _register_some(leased: Leased, count: int) -> None:
    for number in range(count):
        await leased.register(f"n{number}")


async def test_a_position_that_is_gone_or_never_was_is_answered_compacted(leased: Leased, watch: Watch) -> None:
    await leased.fill(6)
    await until(lambda: watch.position == 6)
    assert await leased.leases.compact_events(timedelta(hours=1), 2) == 5
    for after in (0, 3, 7, 2**62):
        with pytest.raises(Compacted) as gone:
            async with watch.subscribe(T1, ALL, after=after):
                pass
        assert gone.value.position == 6
    async with watch.subscribe(T1, ALL, after=4) as subscription:
        assert _places(await take(subscription, 2)) == [5, 6]
    async with watch.subscribe(T1, ALL, after=6) as subscription:
        await leased.register("i0")
        assert _places(await take(subscription, 1)) == [7]


async def test_who_is_overtaken_by_compaction_while_it_catches_up_is_told(leased: Leased, watch: Watch) -> None:
    await leased.fill(6)
    await until(lambda: watch.position == 6)
    async with watch.subscribe(T1, ALL, after=1) as subscription:
        await leased.leases.compact_events(timedelta(hours=1), 2)
        with pytest.raises(Compacted):
            await take(subscription, 1)


async def test_who_does_not_read_is_dropped_and_others_go_on(leased: Leased) -> None:
    async with watching(leased, room=10) as watch, watch.subscribe(T1, ALL) as slow:
        async with watch.subscribe(T1, ALL) as quick:
            read = 0
            while read < 30:  # half of the room at a time: however fast they register, this one has room
                for number in range(read, read + 5):
                    await leased.register(f"i{number}")
                read += len(await take(quick, 5))
            assert read == 30
            with pytest.raises(SlowReader):
                await take(slow, 1)
            assert len(watch) == 1
        async with watch.subscribe(T1, ALL, after=slow.position) as back:
            assert len(await take(back, 30)) == 30


async def test_an_event_whose_notification_is_lost_arrives_with_the_next_look(leased: Leased) -> None:
    watch = Watch(leased.leases, poll=0.1)
    watch.start()
    try:
        async with watch.subscribe(T1, ALL) as subscription:
            await leased.register("1")
            assert _places(await take(subscription, 1)) == [1]
    finally:
        await watch.stop()


async def test_several_processes_see_the_same_order(leased: Leased) -> None:
    async with (
        watching(leased) as one,
        watching(leased) as two,
        one.subscribe(None, ALL) as first,
        two.subscribe(None, ALL) as second,
    ):
        await asyncio.gather(*(leased.register(f"i{n}", UUID(int=1 + n % 3)) for n in range(60)))
        a, b = await asyncio.gather(take(first, 60), take(second, 60))
    seen = [(event.position, event.registration_id) for event in a]
    assert seen == [(event.position, event.registration_id) for event in b]
    assert [position for position, _ in seen] == list(range(1, 61))


async def test_another_database_s_log_ends_all_watches(leased: Leased) -> None:
    """A backup was restored: positions begin before those that were handed out."""
    async with watching(leased, poll=0.1) as watch:
        await leased.fill(3)
        await until(lambda: watch.position == 3)
        async with watch.subscribe(T1, ALL) as subscription:
            await leased.empty()
            with pytest.raises(Compacted) as gone:
                await take(subscription, 1)
            assert gone.value.position == 0


async def test_a_watch_that_stops_says_so(leased: Leased, watch: Watch) -> None:
    async with watch.subscribe(T1, ALL) as subscription:
        await watch.stop()
        with pytest.raises(Unavailable):
            await take(subscription, 1)


async def test_a_thousand_watchers_of_twenty_tenants_hear_each_of_its_own(leased: Leased, watch: Watch) -> None:
    """How fast: docs/leases.md."""
    tenants = [UUID(int=100 + n) for n in range(20)]
    heard: list[InstanceEvent] = []

    async def follow(subscription: Subscription) -> None:
        async for events in subscription:
            heard.extend(events)

    async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        subscriptions = [await stack.enter_async_context(watch.subscribe(tenants[n % 20], ALL)) for n in range(1000)]
        tasks = [group.create_task(follow(each)) for each in subscriptions]
        for tenant in tenants:
            await leased.register("1", tenant)
        await until(lambda: len(heard) == 1000)
        for task in tasks:
            task.cancel()
    assert len({event.position for event in heard}) == 20
