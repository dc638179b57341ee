"""Runs of an agent that runs elsewhere: an instance that registered with SQL alone does the work."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from bots.sql_bot import SqlBot, SqlJob
from servers.live_server import LiveServer, until
from users.demo_users import HARBOUR

from contract.conftest import UserClient, UserClientFactory
from contract.registry.registry_api import MANIFESTS, new_agent_id

WAIT = "update mcp.agent_configurations set jobs = $2::text::jsonb where id = $1"
HELLO = {"messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
async def bot(jwt_server: LiveServer) -> AsyncIterator[SqlBot]:
    connection = await asyncpg.connect(jwt_server.database)
    made = SqlBot(connection, UUID(HARBOUR), new_agent_id())
    await made.register()
    yield made
    await connection.close()


@pytest.fixture
def anna(person: UserClientFactory) -> UserClient:
    return person("anna", HARBOUR)


@contextlib.asynccontextmanager
async def serving(bot: SqlBot, handle: Callable[[SqlJob], Awaitable[None]], jobs: int = 1) -> AsyncIterator[None]:
    task = asyncio.create_task(bot.serve(handle, jobs))
    try:
        yield
        await asyncio.wait_for(task, 120)
    finally:
        task.cancel()


async def _answer(job: SqlJob) -> None:
    text = job.input["input"]["messages"][-1]["content"]
    await job.emit(1, ("token", "You said: "), ("token", text))
    assert await job.finish(2) == "ok"


async def _deregister(bot: SqlBot) -> None:
    query = "select mcp.deregister_agent_instance($1, $2, $3)"
    await bot.connection.fetchval(query, bot.tenant, bot.registration_id, bot.epoch)


async def test_a_run_is_answered_by_an_instance(bot: SqlBot, anna: UserClient) -> None:
    thread_id = await anna.thread()
    async with serving(bot, _answer):
        values: Any = await anna.sdk.runs.wait(thread_id, str(bot.config_id), input=HELLO)
    assert [each["content"] for each in values["messages"]] == ["hello", "You said: hello"]
    state: Any = await anna.sdk.threads.get_state(thread_id)
    assert [each["content"] for each in state["values"]["messages"]] == ["hello", "You said: hello"]


async def test_a_conversation_has_its_history(bot: SqlBot, anna: UserClient) -> None:
    thread_id, seen = await anna.thread(), list[int]()

    async def count(job: SqlJob) -> None:
        seen.append(len(job.input["input"]["messages"]))
        await _answer(job)

    async with serving(bot, count, jobs=2):
        for _ in range(2):
            await anna.sdk.runs.wait(thread_id, str(bot.config_id), input=HELLO)
    assert seen == [1, 3]


async def test_tokens_are_streamed_as_one_message(bot: SqlBot, anna: UserClient) -> None:
    chunks = list[Any]()
    async with serving(bot, _answer):
        async for part in anna.sdk.runs.stream(None, str(bot.config_id), input=HELLO, stream_mode="messages-tuple"):
            if part.event == "messages":
                chunks.append(part.data[0])
    assert [each["content"] for each in chunks] == ["You said: ", "hello"]
    assert len({each["id"] for each in chunks}) == 1


async def test_an_error_of_the_instance_is_that_of_the_run(bot: SqlBot, anna: UserClient) -> None:
    async def fail(job: SqlJob) -> None:
        await job.finish(state="failed", error={"error": "NoInk", "message": "The printer is empty."})

    async with serving(bot, fail):
        values: Any = await anna.sdk.runs.wait(None, str(bot.config_id), input=HELLO, raise_error=False)
    assert values["__error__"] == {"error": "NoInk", "message": "The printer is empty."}


async def test_an_interrupt_is_answered_by_another_job(bot: SqlBot, anna: UserClient) -> None:
    thread_id = await anna.thread()

    async def ask(job: SqlJob) -> None:
        if job.input["resume"] is None:
            await job.finish(interrupts=[{"value": "Which one?"}])
        else:
            await job.finish(result={"messages": [{"role": "ai", "content": f"the {job.input['resume']} one"}]})

    async with serving(bot, ask, jobs=2):
        await anna.sdk.runs.wait(thread_id, str(bot.config_id), input=HELLO)
        state: Any = await anna.sdk.threads.get_state(thread_id)
        assert [each["value"] for task in state["tasks"] for each in task["interrupts"]] == ["Which one?"]
        values: Any = await anna.sdk.runs.wait(thread_id, str(bot.config_id), command={"resume": "red"})
    assert values["messages"][-1]["content"] == "the red one"


async def test_cancelling_the_run_asks_the_instance_to_stop(bot: SqlBot, anna: UserClient) -> None:
    thread_id, began = await anna.thread(), asyncio.Event()

    async def work_until_cancelled(job: SqlJob) -> None:
        began.set()
        await until(job.is_cancelled)
        assert await job.finish(state="cancelled") == "ok"

    async with serving(bot, work_until_cancelled):
        run = await anna.sdk.runs.create(thread_id, str(bot.config_id), input=HELLO)
        await asyncio.wait_for(began.wait(), 60)
        await anna.sdk.runs.cancel(thread_id, run["run_id"], wait=True)
    assert (await anna.sdk.runs.get(thread_id, run["run_id"]))["status"] == "interrupted"


async def test_a_run_without_an_instance_says_so(bot: SqlBot, anna: UserClient) -> None:
    await bot.connection.execute(WAIT, bot.config_id, '{"schedule_to_start_seconds": 0}')
    await _deregister(bot)
    values: Any = await anna.sdk.runs.wait(None, str(bot.config_id), input=HELLO, raise_error=False)
    error = values["__error__"]
    assert (error["error"], error["tried"]) == ("no_instance", [])


async def test_runs_that_wait_for_an_instance_take_no_slot_of_the_worker(bot: SqlBot, anna: UserClient) -> None:
    """The worker has 16 slots."""
    # Nobody is there until all the jobs wait: an instance that takes no offer for some seconds has failed an attempt.
    await bot.connection.execute(WAIT, bot.config_id, '{"schedule_to_start_seconds": null}')
    await _deregister(bot)
    threads = [await anna.thread() for _ in range(20)]
    waiting = [await anna.sdk.runs.create(each, str(bot.config_id), input=HELLO) for each in threads]
    for thread, run in zip(threads, waiting, strict=True):
        await until(partial(anna.has_status, thread, run["run_id"], "running"))
    assert await anna.sdk.runs.wait(None, "echo", input={"text": "here"})
    await bot.register()
    async with serving(bot, _answer, jobs=len(threads)):
        for thread, run in zip(threads, waiting, strict=True):
            values: Any = await anna.sdk.runs.join(thread, run["run_id"])
            assert values["messages"][-1]["content"] == "You said: hello"


async def test_an_agent_here_calls_one_that_runs_elsewhere(bot: SqlBot, anna: UserClient) -> None:
    caller = await anna.sdk.assistants.create(
        "agent", context={"model_name": "offline:demo", "agent_tools": [str(bot.config_id)]}
    )
    asked = {"messages": [{"role": "user", "content": f'use the tool {bot.agent_id} with {{"message": "sum up"}}'}]}
    async with serving(bot, _answer):
        values: Any = await anna.sdk.runs.wait(None, caller["assistant_id"], input=asked)
    assert [each["content"] for each in values["messages"] if each["type"] == "tool"] == ["You said: sum up"]


async def test_properties_of_the_state_schema_reach_the_instance_and_stay_in_the_state(
    bot: SqlBot, anna: UserClient, root: httpx.AsyncClient
) -> None:
    schema = {"type": "object", "properties": {"score": {"type": "number"}}}
    put = await root.put(f"{MANIFESTS}/{bot.agent_id}", json={"state_schema": schema})
    assert put.status_code == 200, put.text

    async def count(job: SqlJob) -> None:
        await job.finish(result={"score": job.input["input"]["score"] + 1})

    thread_id = await anna.thread()
    async with serving(bot, count, jobs=2):
        await anna.sdk.runs.wait(thread_id, bot.agent_id, input={"score": 1})
        await anna.sdk.runs.wait(thread_id, bot.agent_id, input=HELLO)
    state: Any = await anna.sdk.threads.get_state(thread_id)
    assert state["values"]["score"] == 3
    history: Any = await anna.sdk.threads.get_history(thread_id)
    assert {each["values"].get("score") for each in history} >= {1, 2, 3}
