"""Conversations of the tools agent on a whole server, with a model API that refuses what the public one refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import orjson
import pytest
from databases import fresh_database
from remote.raw_mcp import RawMcp, text, tool
from remote.strict_openai import StrictOpenAI
from servers.live_server import GRAPHS, LiveServer, live_server, until

HUGE = 10**30


@pytest.fixture(scope="module")
def model() -> Iterator[StrictOpenAI]:
    api = StrictOpenAI()
    yield api
    api.close()


@pytest.fixture(scope="module")
async def openai_server(postgres: str, template: str, model: StrictOpenAI) -> AsyncIterator[LiveServer]:
    settings = {
        "AGENTHALL_GRAPHS": orjson.dumps(GRAPHS).decode(),
        "AGENTHALL_DEFAULT_MODEL": "openai:gpt-test",
        "OPENAI_BASE_URL": model.base_url,
        "OPENAI_API_KEY": "sk-test",
    }
    async with fresh_database(postgres, template) as url, live_server(url, **settings) as running:
        yield running


@pytest.fixture
async def http(openai_server: LiveServer, model: StrictOpenAI) -> AsyncIterator[httpx.AsyncClient]:
    model.requests.clear()
    model.refusals.clear()
    async with openai_server.http() as opened:
        yield opened


@pytest.fixture
def mcp() -> Iterator[RawMcp]:
    server = RawMcp([tool("quick"), tool("slow"), tool("odd")])
    yield server
    server.close()


class Conversation:
    """A thread with an agent that has the tools of one MCP server."""

    def __init__(self, http: httpx.AsyncClient, thread: str, assistant: str) -> None:
        self._http = http
        self.path = f"/threads/{thread}"
        self._assistant = assistant

    async def start(self, given: Any, **more: Any) -> str:
        body = {"assistant_id": self._assistant, "input": given, **more}
        return str((await self._http.post(f"{self.path}/runs", json=body)).raise_for_status().json()["run_id"])

    async def run(self, given: Any, **more: Any) -> Any:
        body = {"assistant_id": self._assistant, "input": given, **more}
        return (await self._http.post(f"{self.path}/runs/wait", json=body)).raise_for_status().json()

    async def say(self, words: str, **more: Any) -> Any:
        return await self.run({"messages": [{"role": "user", "content": words}]}, **more)

    async def cancel(self, run: str) -> None:
        await self._http.post(f"{self.path}/runs/{run}/cancel", params={"wait": "1"})

    async def state(self) -> Any:
        return (await self._http.get(f"{self.path}/state")).raise_for_status().json()

    async def messages(self) -> list[Any]:
        return list((await self.state())["values"]["messages"])


@pytest.fixture
async def conversation(http: httpx.AsyncClient, mcp: RawMcp) -> Conversation:
    servers = {"servers": [{"name": "s", "url": mcp.url}]}
    body = {"graph_id": "agent", "config": {"configurable": {"mcp_config": servers}}}
    assistant = (await http.post("/assistants", json=body)).raise_for_status().json()["assistant_id"]
    thread = (await http.post("/threads", json={})).json()["thread_id"]
    return Conversation(http, thread, assistant)


def kinds(messages: list[Any]) -> list[str]:
    return [message["type"] for message in messages]


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_conversation_goes_on_after_a_run_was_cancelled_in_a_call(
    conversation: Conversation, mcp: RawMcp, model: StrictOpenAI, durability: str
) -> None:
    mcp.slow = {"slow"}
    run = await conversation.start({"messages": [{"role": "user", "content": "call slow {}"}]}, durability=durability)
    await until(lambda: mcp.calls)
    await conversation.cancel(run)
    values = await conversation.say("hello")
    assert values["messages"][-1]["content"] == "fine"
    assert model.refusals == []
    if durability != "exit":
        assert kinds(values["messages"]) == ["human", "ai", "tool", "human", "ai"]
        assert "not finished" in values["messages"][2]["content"]


async def test_of_two_calls_at_once_the_finished_one_keeps_its_result(
    conversation: Conversation, mcp: RawMcp, model: StrictOpenAI
) -> None:
    mcp.slow = {"slow"}
    run = await conversation.start({"messages": [{"role": "user", "content": "call slow {} call quick {}"}]})

    async def is_kept() -> bool:
        state = await conversation.state()
        return "quick ran" in str(state["values"]) and len(mcp.calls) == 2

    await until(is_kept)
    await conversation.cancel(run)
    messages = (await conversation.say("hello"))["messages"]
    assert kinds(messages) == ["human", "ai", "tool", "tool", "human", "ai"]
    assert {message["name"]: message["status"] for message in messages[2:4]} == {"slow": "error", "quick": "success"}
    assert messages[-1]["content"] == "fine"
    assert (model.refusals, sorted(name for name, _ in mcp.calls)) == ([], ["quick", "slow"])
    assert await conversation.messages() == messages


async def test_a_conversation_goes_on_after_its_limit_of_steps(
    conversation: Conversation, mcp: RawMcp, model: StrictOpenAI
) -> None:
    stopped = await conversation.say("call quick {}", config={"recursion_limit": 1})
    assert stopped["__error__"]["error"] == "GraphRecursionError"
    assert (await conversation.say("hello"))["messages"][-1]["content"] == "fine"
    assert (model.refusals, mcp.calls) == ([], [])


async def test_a_run_without_input_goes_on_with_the_open_calls(
    conversation: Conversation, mcp: RawMcp, model: StrictOpenAI
) -> None:
    await conversation.say("call quick {}", config={"recursion_limit": 1})
    values = await conversation.run(None)
    assert (values["messages"][-1]["content"], values["messages"][2]["content"]) == ("done", "quick ran")
    assert (model.refusals, mcp.calls) == ([], [("quick", {})])


async def test_integers_of_any_size_are_exact_from_the_input_to_the_state(
    conversation: Conversation, mcp: RawMcp, model: StrictOpenAI
) -> None:
    mcp.results["odd"] = {**text("ok"), "structuredContent": {"n": HUGE}}
    values = await conversation.say(f'call odd {{"n": {2**64}}}')
    assert values["messages"][-1]["content"] == "done"
    assert values["messages"][1]["tool_calls"][0]["args"] == {"n": 2**64}
    assert values["messages"][2]["artifact"] == {"structured_content": {"n": HUGE}}
    assert (await conversation.messages())[2]["artifact"] == {"structured_content": {"n": HUGE}}
    assert (await conversation.say("hello"))["messages"][-1]["content"] == "fine"
    assert (mcp.calls, model.refusals) == ([("odd", {"n": 2**64})], [])


NO_MESSAGES: dict[str, Any] = {
    "an unknown role": {"messages": [{"role": "robot", "content": "x"}]},
    "null": {"messages": None},
    "a number": {"messages": 5},
    "a list with null": {"messages": [None]},
    "no role": {"messages": [{"content": "x"}]},
    "no content": {"messages": [{"role": "user"}]},
    "content that is a number": {"messages": [{"role": "user", "content": 5}]},
    "a tool message without an id": {"messages": [{"role": "tool", "content": "x"}]},
    "the removal of an unknown message": {"messages": [{"role": "remove", "content": "", "id": "nobody"}]},
    "calls that are none": {"messages": [{"role": "assistant", "content": "", "tool_calls": [5]}]},
}


@pytest.mark.parametrize("what", NO_MESSAGES)
@pytest.mark.parametrize("is_first", [True, False])
async def test_an_input_that_is_no_message_is_told_and_the_thread_stays_usable(
    conversation: Conversation, http: httpx.AsyncClient, model: StrictOpenAI, what: str, is_first: bool
) -> None:
    if not is_first:
        await conversation.say("hello")
    error = (await conversation.run(NO_MESSAGES[what]))["__error__"]
    assert (error["error"], error["message"][:8]) == ("MessagesInvalid", "messages")
    assert "troubleshooting" not in error["message"]
    state = await conversation.state()
    assert kinds(state["values"].get("messages", [])) == ([] if is_first else ["human", "ai"])
    assert (await http.get(f"{conversation.path}/history")).status_code == 200
    assert (await conversation.say("hello"))["messages"][-1]["content"] == "fine"
    assert kinds(await conversation.messages()) == ["human", "ai"] * (1 if is_first else 2)
    assert model.refusals == []


async def test_a_malformed_tool_is_named_in_the_metadata_of_the_run(
    conversation: Conversation, http: httpx.AsyncClient, mcp: RawMcp
) -> None:
    mcp.tools = [*mcp.tools, {"name": "b\0ad"}]
    run = await conversation.start({"messages": [{"role": "user", "content": "call quick {}"}]})
    await http.get(f"{conversation.path}/runs/{run}/join")
    told = (await http.get(f"{conversation.path}/runs/{run}")).json()
    [notice] = told["metadata"]["agenthall_notices"]
    assert (told["status"], notice["kind"], notice["names"]) == ("success", "mcp_tools_unusable", ["b ad"])


async def test_many_runs_at_once_keep_their_own_results(conversation: Conversation, http: httpx.AsyncClient) -> None:
    async def one(number: int) -> None:
        thread = (await http.post("/threads", json={})).json()["thread_id"]
        own = Conversation(http, thread, conversation._assistant)
        values = await own.say(f'call odd {{"n": {number}}}')
        assert values["messages"][1]["tool_calls"][0]["args"] == {"n": number}

    await asyncio.gather(*(one(number) for number in range(8)))
