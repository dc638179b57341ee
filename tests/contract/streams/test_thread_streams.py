"""GET /threads/{thread_id}/stream: all runs of a thread, one after the other."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest
from deadlines import DEADLINE
from langgraph_sdk.client import LangGraphClient
from network.sse_client import Event, EventReader, open_stream
from users.demo_users import HARBOUR

from contract.conftest import UserClientFactory
from contract.runs.test_run_cancel import ENDLESS, under_way


def done(run_id: str) -> dict[str, str]:
    return {"status": "run_done", "run_id": run_id}


async def until_done(reading: EventReader, run_id: str) -> list[Event]:
    """Read to the end of the run."""
    found = []
    async with asyncio.timeout(DEADLINE):
        while (event := await reading.next()) is not None:
            found.append(event)
            if event.name == "metadata" and event.data == done(run_id):
                return found
    raise AssertionError(f"the stream ended before the run: {found}")


async def echo(client: LangGraphClient, thread: str, text: str, **more: Any) -> str:
    run = await client.runs.create(thread, "echo", input={"text": text}, stream_mode="updates", **more)
    return run["run_id"]


def names_and_data(events: list[Event]) -> list[tuple[str, Any]]:
    return [(event.name, event.data) for event in events]


async def test_each_run_comes_with_its_beginning_its_events_and_its_end(
    client: LangGraphClient, http: httpx.AsyncClient, thread: str
) -> None:
    async with open_stream(http, "GET", f"/threads/{thread}/stream") as reading:
        for text in ("one", "two"):
            run_id = await echo(client, thread, text)
            assert names_and_data(await until_done(reading, run_id)) == [
                ("metadata", {"run_id": run_id, "attempt": 1}),
                ("updates", {"echo": {"text": text}}),
                ("metadata", done(run_id)),
            ]


async def test_lifecycle_has_beginnings_and_ends_only(
    client: LangGraphClient, http: httpx.AsyncClient, thread: str
) -> None:
    async with open_stream(http, "GET", f"/threads/{thread}/stream?stream_modes=lifecycle") as reading:
        run_id = await echo(client, thread, "one")
        assert names_and_data(await until_done(reading, run_id)) == [
            ("metadata", {"run_id": run_id, "attempt": 1}),
            ("metadata", done(run_id)),
        ]


async def test_an_id_gives_what_came_strictly_later(
    client: LangGraphClient, http: httpx.AsyncClient, thread: str
) -> None:
    path = f"/threads/{thread}/stream"
    async with open_stream(http, "GET", path) as reading:
        events = await until_done(reading, await echo(client, thread, "one"))
        last = await echo(client, thread, "two")
        events += await until_done(reading, last)
    assert len({event.id for event in events}) == len(events)
    for place, event in enumerate(events[:-1]):
        assert event.id is not None
        async with open_stream(http, "GET", path, headers={"last-event-id": event.id}) as reading:
            assert await until_done(reading, last) == events[place + 1 :]


async def test_a_running_run_is_followed_from_now_on_and_then_the_next(
    client: LangGraphClient, http: httpx.AsyncClient, thread: str
) -> None:
    running = (await under_way(http, thread)).rpartition("/")[2]
    waiting = await echo(client, thread, "next")
    async with open_stream(http, "GET", f"/threads/{thread}/stream") as reading:
        first = await reading.next()
        assert first is not None and (first.name, first.data["count"] > 1) == ("values", True)
        await client.runs.cancel(thread, running)
        await until_done(reading, running)
        assert (await until_done(reading, waiting))[1].data == {"echo": {"text": "next"}}


async def test_a_run_that_is_rolled_back_ends_and_the_next_one_comes(
    client: LangGraphClient, http: httpx.AsyncClient, thread: str
) -> None:
    async with open_stream(http, "GET", f"/threads/{thread}/stream?stream_mode=lifecycle") as reading:
        stopped = (await under_way(http, thread)).rpartition("/")[2]
        last = await echo(client, thread, "last", multitask_strategy="rollback")
        events = await until_done(reading, last)
    assert [event.data["run_id"] for event in events] == [stopped, stopped, last, last]


async def test_the_sdk_follows_a_thread(client: LangGraphClient, http: httpx.AsyncClient, thread: str) -> None:
    running = (await under_way(http, thread)).rpartition("/")[2]
    last_id = None
    async with asyncio.timeout(DEADLINE):
        async for part in await client.threads.join_stream(thread, stream_mode=["run_modes", "lifecycle"]):
            if part.data == done(running):
                last_id = part.id
                break
            if part.event == "values" and last_id is None:
                last_id = part.id
                await client.runs.cancel(thread, running)
        later = await echo(client, thread, "later")
        async for part in await client.threads.join_stream(thread, last_event_id=last_id):
            assert part.data == {"run_id": later, "attempt": 1}
            break


async def test_the_stream_ends_when_its_thread_is_deleted(http: httpx.AsyncClient, thread: str) -> None:
    await http.post(f"/threads/{thread}/runs", json=ENDLESS)
    async with open_stream(http, "GET", f"/threads/{thread}/stream") as reading:
        assert await reading.next() is not None
        assert (await http.delete(f"/threads/{thread}")).status_code == 204
        async with asyncio.timeout(DEADLINE):
            assert (await reading.read_rest())[-1].data["status"] == "run_done"


@pytest.mark.parametrize(
    ("query", "headers", "code", "field"),
    [
        ("?stream_mode=zzz", {}, "invalid", "stream_mode"),
        ("?stream_mode=state_update", {}, "not_offered", "stream_mode"),
        ("?stream_modes=lifecycle&stream_modes=values", {}, "invalid", "stream_mode"),
        ("", {"last-event-id": "-1"}, "invalid", "Last-Event-ID"),
        ("", {"last-event-id": "1-1"}, "invalid", "Last-Event-ID"),
        ("", {"last-event-id": "01a1ff93-7ffe-76b1-bd8e-779f2cb0e5da:1-99999999999"}, "invalid", "Last-Event-ID"),
    ],
    ids=repr,
)
async def test_another_mode_or_id_is_refused_by_name(
    http: httpx.AsyncClient, thread: str, query: str, headers: dict[str, str], code: str, field: str
) -> None:
    answer = await http.get(f"/threads/{thread}/stream{query}", headers=headers)
    body = answer.json()
    assert (answer.status_code, body["code"], body["field"]) == (422, code, field)


async def test_a_thread_that_is_missing_or_somebody_else_s_is_404(
    http: httpx.AsyncClient, person: UserClientFactory
) -> None:
    assert (await http.get(f"/threads/{uuid4()}/stream")).status_code == 404
    ada, bob = person("ada", HARBOUR), person("bob", HARBOUR)
    assert (await bob.http.get(f"/threads/{await ada.thread()}/stream")).status_code == 404


async def test_an_id_that_names_another_thread_s_run_gives_none_of_its_events(
    client: LangGraphClient, http: httpx.AsyncClient, thread: str
) -> None:
    other = (await client.threads.create())["thread_id"]
    foreign = await echo(client, other, "secret")
    await client.runs.join(other, foreign)
    named = {"last-event-id": f"{foreign}:1-0"}
    async with open_stream(http, "GET", f"/threads/{thread}/stream", headers=named) as reading:
        run_id = await echo(client, thread, "own")
        assert [event.data.get("run_id", run_id) for event in await until_done(reading, run_id)] == [run_id] * 3
