"""Handlers that an instance serves, with jobs of a scripted server."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from agenthall_client import AgentInstance, Job
from agenthall_client.jobs.threads import ThreadJob
from bots.scripted_job_server import ScriptedJobServer
from deadlines import DEADLINE
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt
from servers.live_server import until

Create = Callable[..., AgentInstance]


@pytest.fixture(autouse=True)
async def _deadline() -> AsyncIterator[None]:
    async with asyncio.timeout(DEADLINE):
        yield


@contextlib.asynccontextmanager
async def serving(me: AgentInstance, handler: Any) -> AsyncIterator[None]:
    """Serve a handler. At the end the instance drains, and `serve` returns."""
    async with me:
        task = asyncio.create_task(me.serve(handler))
        try:
            yield
            await me.drain()
            await task
        finally:
            task.cancel()


async def tokens(job: Job) -> AsyncIterator[str | tuple[str, Any]]:
    yield "he"
    yield ("custom", {"half": True})
    yield "llo"


async def answer(job: Job) -> str:
    return f"to {job.messages[0]['content']}"


def blocking_tokens(job: ThreadJob) -> Iterator[str]:
    yield "he"
    job.emit(("custom", {"half": True}))
    yield "llo"


def blocking_answer(job: ThreadJob) -> str:
    assert threading.current_thread() is not threading.main_thread()
    return f"to {job.messages[0]['content']}"


class Answerer:
    async def __call__(self, job: Job) -> str:
        return await answer(job)


@pytest.mark.parametrize("handler", [tokens, blocking_tokens])
async def test_what_a_generator_yields_is_emitted(
    jobs_server: ScriptedJobServer, instance: Create, handler: Any
) -> None:
    async with serving(instance(), handler):
        given = await jobs_server.offer("worker")
        assert await given.ended() == {"result": None}
        assert given.events == [("token", "he"), ("custom", {"half": True}), ("token", "llo")]


@pytest.mark.parametrize("handler", [answer, blocking_answer, Answerer(), lambda job: "to hello"])
async def test_what_a_function_returns_is_the_result(
    jobs_server: ScriptedJobServer, instance: Create, handler: Any
) -> None:
    async with serving(instance(), handler):
        given = await jobs_server.offer("worker")
        assert await given.ended() == {"result": "to hello"}


async def test_what_cannot_handle_jobs_is_a_type_error(instance: Create) -> None:
    async with instance() as me:
        with pytest.raises(TypeError, match="cannot handle jobs"):
            await me.serve("answer")


async def test_as_many_jobs_run_at_a_time_as_there_are_slots(jobs_server: ScriptedJobServer, instance: Create) -> None:
    together = threading.Barrier(3)

    def meet(job: ThreadJob) -> str:
        together.wait(DEADLINE)
        return "met"

    async with serving(instance(slots=3), meet):
        given = [await jobs_server.offer("worker") for _ in range(3)]
        assert [await each.ended() for each in given] == [{"result": "met"}] * 3


async def test_the_error_of_a_handler_fails_one_job(jobs_server: ScriptedJobServer, instance: Create) -> None:
    def divide(job: ThreadJob) -> str:
        return str(1 / job.input["by"])

    async with serving(instance(), divide):
        failed = await jobs_server.offer("worker", input={"by": 0})
        assert await failed.ended() == {"error": {"error": "ZeroDivisionError", "message": "division by zero"}}
        fine = await jobs_server.offer("worker", input={"by": 4})
        assert await fine.ended() == {"result": "0.25"}


async def test_a_cancelled_job_closes_its_generator(jobs_server: ScriptedJobServer, instance: Create) -> None:
    closed = asyncio.Event()

    async def endless(job: Job) -> AsyncIterator[str]:
        try:
            yield "a"
            await asyncio.Event().wait()
        finally:
            closed.set()

    async with serving(instance(), endless):
        given = await jobs_server.offer("worker")
        await until(lambda: given.tokens == "a")
        await jobs_server.cancel(given)
        assert await given.ended() == {"cancelled": True} and closed.is_set()


async def test_a_thread_learns_that_its_job_is_cancelled(jobs_server: ScriptedJobServer, instance: Create) -> None:
    raised: list[str] = []

    def endless(job: ThreadJob) -> None:
        try:
            while True:
                job.emit("a")
        except Exception as error:
            raised.append(type(error).__name__)
            raise

    async with serving(instance(), endless):
        given = await jobs_server.offer("worker")
        await until(lambda: given.tokens)
        await jobs_server.cancel(given)
        assert await given.ended() == {"cancelled": True}
        await until(lambda: raised)
        assert raised[0] in {"JobCancelled", "Closed"}


async def test_serving_ends_with_the_body_of_the_instance(jobs_server: ScriptedJobServer, instance: Create) -> None:
    async def endless(job: Job) -> None:
        await asyncio.Event().wait()

    async with instance() as me:
        given = await jobs_server.offer("worker")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                await me.serve(endless)
        await given.reached("handed_back")


def graph_that_asks() -> Any:
    async def work(state: MessagesState) -> dict[str, Any]:
        get_stream_writer()({"half": True})
        return {"messages": [AIMessage("working", id="one")]}

    def ask(state: MessagesState) -> dict[str, Any]:
        reply = interrupt({"question": "Go?"})
        return {"messages": [AIMessage(f"you said {reply}", id="two")]}

    builder = StateGraph(MessagesState).add_node("work", work).add_node("ask", ask)
    return builder.add_edge(START, "work").add_edge("work", "ask").compile(checkpointer=InMemorySaver())


async def test_a_graph_streams_interrupts_and_resumes(jobs_server: ScriptedJobServer, instance: Create) -> None:
    async with serving(instance(), graph_that_asks()):
        modes = ["messages-tuple", "values", "updates", "custom", "debug"]
        first = await jobs_server.offer("worker", stream_mode=modes)
        ended = await first.ended()
        (asked,) = ended["interrupts"]
        assert asked["value"] == {"question": "Go?"} and asked["id"]
        assert {event for event, _ in first.events} == {"messages", "values", "updates", "custom"}
        chunk, metadata = next(data for event, data in first.events if event == "messages")
        assert (chunk["content"], chunk["type"], metadata["langgraph_node"]) == ("working", "ai", "work")
        assert ("custom", {"half": True}) in first.events

        second = await jobs_server.offer("worker", thread_id=first.offer["thread_id"], resume="yes", stream_mode=[])
        result = (await second.ended())["result"]
        assert [each["content"] for each in result["messages"]] == ["hello", "working", "you said yes"]
        assert second.events == [] and "__interrupt__" not in result
