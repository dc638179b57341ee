"""The way through the whole house, as a client walks it: with both clients of the SDK."""

from __future__ import annotations

import asyncio
from typing import Any

from langgraph_sdk import get_sync_client
from langgraph_sdk.client import LangGraphClient
from servers.live_server import LiveServer


async def test_a_run_can_be_waited_for(client: LangGraphClient) -> None:
    assert await client.runs.wait(None, "echo", input={"text": "hello"}) == {"text": "hello"}


async def test_an_agent_remembers_the_first_turn_in_the_second(client: LangGraphClient) -> None:
    thread = await client.threads.create()
    for text in ("hello", "again"):
        asked = {"messages": [{"role": "user", "content": text}]}
        chunks = [
            each
            async for each in client.runs.stream(
                thread["thread_id"], "agent", input=asked, stream_mode="messages-tuple"
            )
        ]
        assert [each.event for each in chunks[:2]] == ["metadata", "messages"]
    state = await client.threads.get_state(thread["thread_id"])
    assert [each["type"] for each in state["values"]["messages"]] == ["human", "ai", "human", "ai"]
    assert state["next"] == []


def _converse(url: str) -> dict[str, Any]:
    client = get_sync_client(url=url)
    assistant = client.assistants.create("counter", name="of the sync client")
    assert client.assistants.search(name="of the sync client")[0]["assistant_id"] == assistant["assistant_id"]
    thread = client.threads.create(metadata={"made": "here"})
    given = {"until": 2}
    events = [each.event for each in client.runs.stream(thread["thread_id"], assistant["assistant_id"], input=given)]
    assert events == ["metadata", "values", "values", "values"]
    waited = client.runs.wait(thread["thread_id"], assistant["assistant_id"], input={"until": 3})
    history = client.threads.get_history(thread["thread_id"], limit=3)
    assert len(history) == 3
    client.threads.delete(thread["thread_id"])
    client.assistants.delete(assistant["assistant_id"])
    return dict(waited)


async def test_the_sync_client_converses_too(server: LiveServer) -> None:
    waited = await asyncio.to_thread(_converse, server.url)
    assert waited["count"] == 3
