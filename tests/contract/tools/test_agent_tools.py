"""Agents call other agents as tools: within the same run, under the caller's identity."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import asyncpg
import orjson
import pytest
from catalogues.catalogue_writer import TABLES, CatalogueWriter
from databases import fresh_database
from servers.live_server import SAMPLES, LiveServer, live_server, until
from users.demo_users import HARBOUR, MEADOW, SECRET, bearer

from contract.conftest import UserClient, UserClientFactory

CHATS = SAMPLES.with_name("chat_graphs.py")
GRAPHS = {
    "agent": "tools_agent.agent:graph",
    "asking": f"{CHATS}:asking_back",
    "echo": f"{SAMPLES}:echo",
}
ASK = 'use the tool {name} with {{"message": {message}}}'


@pytest.fixture(scope="module")
async def product_server(postgres: str, template: str) -> AsyncIterator[LiveServer]:
    async with fresh_database(postgres, template) as url:
        connection = await asyncpg.connect(url)
        await connection.execute(TABLES)
        await connection.close()
        settings = {"AGENTHALL_GRAPHS": orjson.dumps(GRAPHS).decode(), "AUTH_MODE": "jwt", "AUTH_JWT_SECRET": SECRET}
        async with live_server(url, AGENT_SYNC_SCOPE="none", **settings) as server:
            yield server


async def _run(user: UserClient, assistant_id: str, text: str, thread_id: str | None = None) -> list[dict[str, Any]]:
    given = {"messages": [{"role": "user", "content": text}]}
    values: Any = await user.sdk.runs.wait(thread_id, assistant_id, input=given)
    return list(values["messages"])


def _asked(name: str, message: str) -> str:
    return ASK.format(name=name, message=json.dumps(message))


async def test_an_agent_answers_as_a_tool_of_another(catalogue_writer: CatalogueWriter, anna: UserClient) -> None:
    helper = await catalogue_writer.add_agent(
        name="Contract Reader", organization_id=HARBOUR, system_prompt="You read."
    )
    caller = await catalogue_writer.add_agent(organization_id=HARBOUR, assistant_tool_ids=[helper])
    messages = await _run(anna, caller, _asked("Contract_Reader", "Which role do you have?"))
    (result,) = [each for each in messages if each["type"] == "tool"]
    assert result["status"] == "success" and "You read." in result["content"], "its own prompt answers"


async def test_another_organizations_agent_is_not_offered(catalogue_writer: CatalogueWriter, anna: UserClient) -> None:
    foreign = await catalogue_writer.add_agent(name="Foreign", organization_id=MEADOW)
    unknown = str(uuid4())
    caller = await catalogue_writer.add_agent(organization_id=HARBOUR, assistant_tool_ids=[foreign, unknown])
    messages = await _run(anna, caller, _asked("Foreign", "hello"))
    assert not any(each["type"] == "tool" for each in messages)
    assert all(
        f"Agent {each} is not offered as a tool: it does not exist" in messages[-1]["content"]
        for each in (foreign, unknown)
    )


async def test_a_run_of_a_bound_key_calls_only_its_assistants(
    product_server: LiveServer, catalogue_writer: CatalogueWriter
) -> None:
    allowed = await catalogue_writer.add_agent(name="Allowed", organization_id=HARBOUR, system_prompt="You may.")
    other = await catalogue_writer.add_agent(name="Other", organization_id=HARBOUR)
    caller = await catalogue_writer.add_agent(organization_id=HARBOUR, assistant_tool_ids=[allowed, other])
    async with product_server.http(**bearer("root", permissions=("admin",))) as root:
        body = {"organizations": [HARBOUR], "assistants": [caller, allowed]}
        key = (await root.post("/keys", json=body)).raise_for_status().json()["key"]
    given = {"messages": [{"role": "user", "content": _asked("Other", "hello")}]}
    async with product_server.http(**{"x-api-key": key}) as bound:
        refused = await bound.post("/runs/wait", json={"assistant_id": other, "input": given})
        assert (refused.status_code, refused.json()["code"]) == (403, "assistant_not_allowed")
        messages = (await bound.post("/runs/wait", json={"assistant_id": caller, "input": given})).json()["messages"]
        assert not any(each["type"] == "tool" for each in messages)
        assert "the API key of the run is bound to other assistants" in messages[-1]["content"]
        given = {"messages": [{"role": "user", "content": _asked("Allowed", "Which role do you have?")}]}
        messages = (await bound.post("/runs/wait", json={"assistant_id": caller, "input": given})).json()["messages"]
        assert any("You may." in each["content"] for each in messages if each["type"] == "tool")


async def test_agents_that_name_each_other_end(catalogue_writer: CatalogueWriter, anna: UserClient) -> None:
    first = await catalogue_writer.add_agent(name="First", organization_id=HARBOUR)
    second = await catalogue_writer.add_agent(name="Second", organization_id=HARBOUR, assistant_tool_ids=[first])
    await catalogue_writer.set_agent_tools(first, [second])
    inner = _asked("First", "hello")
    messages = await _run(anna, first, _asked("Second", inner))
    (result,) = [each for each in messages if each["type"] == "tool"]
    assert "is not offered as a tool: it is already being called" in result["content"]


async def test_a_called_agent_streams_and_its_steps_are_in_the_thread(
    catalogue_writer: CatalogueWriter, anna: UserClient
) -> None:
    helper = await catalogue_writer.add_agent(name="Helper", organization_id=HARBOUR)
    caller = await catalogue_writer.add_agent(organization_id=HARBOUR, assistant_tool_ids=[helper])
    thread = await anna.sdk.threads.create()
    given = {"messages": [{"role": "user", "content": _asked("Helper", "say hello")}]}
    names = set[str]()
    async for part in anna.sdk.runs.stream(
        thread["thread_id"], caller, input=given, stream_mode=["updates", "messages-tuple"], stream_subgraphs=True
    ):
        names.add(part.event)
    assert any(name.startswith("updates|tools:") for name in names), names
    assert any(name.startswith("messages|tools:") for name in names), names


async def test_a_called_agent_that_fails_is_an_error_of_the_tool(
    catalogue_writer: CatalogueWriter, anna: UserClient
) -> None:
    broken = await catalogue_writer.add_agent(model="nobody:model", name="Broken", organization_id=HARBOUR)
    caller = await catalogue_writer.add_agent(organization_id=HARBOUR, assistant_tool_ids=[broken])
    messages = await _run(anna, caller, _asked("Broken", "hello"))
    (result,) = [each for each in messages if each["type"] == "tool"]
    assert result["status"] == "error" and result["content"].startswith("The agent Broken failed: ")


async def test_cancelling_the_run_cancels_the_called_agent(catalogue_writer: CatalogueWriter, anna: UserClient) -> None:
    slow = await catalogue_writer.add_agent(model="offline:slow", name="Slow", organization_id=HARBOUR)
    caller = await catalogue_writer.add_agent(organization_id=HARBOUR, assistant_tool_ids=[slow])
    thread = await anna.sdk.threads.create()
    given = {"messages": [{"role": "user", "content": _asked("Slow", "repeat " + "word " * 2000)}]}
    run = await anna.sdk.runs.create(thread["thread_id"], caller, input=given)

    async def is_running() -> bool:
        return (await anna.sdk.runs.get(thread["thread_id"], run["run_id"]))["status"] == "running"

    await until(is_running)
    await anna.sdk.runs.cancel(thread["thread_id"], run["run_id"], wait=True)
    assert (await anna.sdk.runs.get(thread["thread_id"], run["run_id"]))["status"] == "interrupted"


async def test_names_that_are_taken_get_a_number(catalogue_writer: CatalogueWriter, anna: UserClient) -> None:
    twins = [
        await catalogue_writer.add_agent(name="Twin", organization_id=HARBOUR, system_prompt=f"You are twin {number}.")
        for number in (1, 2)
    ]
    caller = await catalogue_writer.add_agent(organization_id=HARBOUR, assistant_tool_ids=twins)
    messages = await _run(anna, caller, _asked("Twin__2", "Which role do you have?"))
    (result,) = [each for each in messages if each["type"] == "tool"]
    assert "You are twin 2." in result["content"]


async def test_a_client_cannot_pretend_to_be_called(
    catalogue_writer: CatalogueWriter, anna: UserClient, user: UserClientFactory
) -> None:
    helper = await catalogue_writer.add_agent(name="Helper", organization_id=HARBOUR, system_prompt="You help.")
    caller = await catalogue_writer.add_agent(organization_id=HARBOUR, assistant_tool_ids=[helper])
    given = {"messages": [{"role": "user", "content": _asked("Helper", "Which role do you have?")}]}
    config = {"configurable": {"agenthall_agent_path": [helper]}}
    values: Any = await anna.sdk.runs.wait(None, caller, input=given, config=config)
    assert any(each["type"] == "tool" and "You help." in each["content"] for each in values["messages"])


async def test_an_interrupt_of_a_called_agent_interrupts_the_run(
    catalogue_writer: CatalogueWriter, anna: UserClient
) -> None:
    asking = await catalogue_writer.add_agent(name="Asking", organization_id=HARBOUR, graph_id="asking")
    caller = await catalogue_writer.add_agent(organization_id=HARBOUR, assistant_tool_ids=[asking])
    thread_id = await anna.thread()
    await _run(anna, caller, _asked("Asking", "choose"), thread_id)
    state: Any = await anna.sdk.threads.get_state(thread_id)
    (task,) = state["tasks"]
    assert [each["value"] for each in task["interrupts"]] == ["Which one?"]
    values: Any = await anna.sdk.runs.wait(thread_id, caller, command={"resume": "the red one"})
    assert [each["content"] for each in values["messages"] if each["type"] == "tool"] == ["You said the red one."]


async def test_an_agent_whose_graph_takes_no_messages_cannot_be_called(
    catalogue_writer: CatalogueWriter, anna: UserClient
) -> None:
    echo = await catalogue_writer.add_agent(name="Echo", organization_id=HARBOUR, graph_id="echo")
    caller = await catalogue_writer.add_agent(organization_id=HARBOUR, assistant_tool_ids=[echo])
    messages = await _run(anna, caller, _asked("Echo", "hello"))
    (result,) = [each for each in messages if each["type"] == "tool"]
    assert result["content"] == "The agent Echo failed: its graph 'echo' takes no messages"


async def test_calls_have_a_depth(catalogue_writer: CatalogueWriter, anna: UserClient) -> None:
    called = list[str]()
    message = "hello"
    for number in range(6):
        name = f"Level {number}"
        called.append(
            await catalogue_writer.add_agent(name=name, organization_id=HARBOUR, assistant_tool_ids=called[-1:])
        )
        if number < 5:
            message = _asked(f"Level_{number}", message)
    messages = await _run(anna, called[-1], message)
    (result,) = [each for each in messages if each["type"] == "tool"]
    assert "4 agents already call one another (AGENTHALL_AGENT_DEPTH)" in result["content"]
