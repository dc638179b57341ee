"""NOTIFY and LISTEN between two connections, and what they do when one is cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
from servers.live_server import until

from robyn_server.storage.postgres.notify import EVENTS, RUNS, Listener, Notifier

NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"


class Heard:
    def __init__(self) -> None:
        self.payloads: list[str] = []
        self.connects = 0

    def connected(self) -> None:
        self.connects += 1

    @property
    def ids(self) -> set[str]:
        return {each for payload in self.payloads for each in payload.split(",")}


@asynccontextmanager
async def listening(url: str) -> AsyncIterator[Heard]:
    heard = Heard()
    listener = Listener(url, "test", {EVENTS: heard.payloads.append, RUNS: heard.payloads.append}, heard.connected)
    listener.start()
    await until(lambda: heard.connects == 1)
    yield heard
    await listener.stop()


@asynccontextmanager
async def notifying(url: str) -> AsyncIterator[Notifier]:
    notifier = Notifier(url, "test")
    notifier.start()
    yield notifier
    await notifier.stop()


async def _cut(url: str, name: str) -> None:
    connection = await asyncpg.connect(url)
    cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = $1 and datname = current_database()"
    assert await connection.fetchval(cut, name) == 1
    await connection.close()


async def test_the_connection_is_there_before_the_first_notification(database: str) -> None:
    connection = await asyncpg.connect(database)
    open_ones = "select count(*) from pg_stat_activity where application_name = $1 and datname = current_database()"

    async def is_open() -> bool:
        return bool(await connection.fetchval(open_ones, "test notify"))

    async with notifying(database):
        await until(is_open)
    await connection.close()


async def test_what_is_notified_is_heard(database: str) -> None:
    async with listening(database) as heard, notifying(database) as notifier:
        notifier.notify(EVENTS, ["one"])
        notifier.notify(RUNS)
        await until(lambda: heard.ids == {"one", ""})


async def test_more_ids_than_fit_into_one_payload_all_arrive(database: str) -> None:
    ids = {str(uuid4()) for _ in range(1_000)}
    async with listening(database) as heard, notifying(database) as notifier:
        notifier.notify(EVENTS, ids)
        await until(lambda: heard.ids == ids)
    assert len(heard.payloads) == 5


async def test_the_same_id_many_times_is_sent_once(database: str) -> None:
    async with listening(database) as heard, notifying(database) as notifier:
        for _ in range(1_000):
            notifier.notify(EVENTS, ["same"])
        notifier.notify(RUNS, ["last"])
        await until(lambda: "last" in heard.payloads)
    assert heard.payloads.count("same") == 1


async def test_a_listener_that_was_cut_listens_again_at_once_and_says_so(database: str) -> None:
    """After a reconnection, the listener reads by itself, because notifications in between are lost."""
    async with listening(database) as heard, notifying(database) as notifier:
        await _cut(database, "test listen")
        await until(lambda: heard.connects == 2)
        notifier.notify(EVENTS, ["after"])
        await until(lambda: "after" in heard.payloads)


async def test_a_notifier_that_was_cut_drops_one_and_goes_on(database: str) -> None:
    async with listening(database) as heard, notifying(database) as notifier:
        notifier.notify(EVENTS, ["before"])
        await until(lambda: "before" in heard.payloads)
        await _cut(database, "test notify")

        async def heard_after() -> bool:
            notifier.notify(EVENTS, ["after"])
            return "after" in heard.payloads

        await until(heard_after)


async def test_both_stop_where_there_is_no_database() -> None:
    listener = Listener(NOWHERE, "test", {}, lambda: None)
    notifier = Notifier(NOWHERE, "test")
    listener.start()
    notifier.start()
    notifier.notify(RUNS)
    await notifier.stop()
    await listener.stop()
    assert not listener.connected


async def test_a_stop_while_a_notification_is_on_its_way_sends_it_and_what_came_after(database: str) -> None:
    async with listening(database) as heard:
        async with notifying(database) as notifier:
            notifier.notify(EVENTS, ["first"])
            while not notifier._sending.locked():
                await asyncio.sleep(0)
            notifier.notify(EVENTS, ["second"])
        await until(lambda: heard.ids == {"first", "second"})
