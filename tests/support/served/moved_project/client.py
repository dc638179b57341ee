"""`python client.py URL`: play a conversation with the project, and print a transcript without ids and times."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import Any

from langgraph_sdk import get_client
from langgraph_sdk.errors import APIStatusError

_IDS = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{32}\b")
_INPUT = {"messages": [{"role": "human", "content": "Write about green tea"}]}


def say(what: str, value: Any) -> None:
    text = json.dumps(value, sort_keys=True)
    print(f"{what}: {_IDS.sub('ID', text)}")  # noqa: T201  the transcript


async def refused(what: str, call: Any) -> None:
    try:
        say(what, await call)
    except APIStatusError as error:
        say(what, error.status_code)


async def main(url: str) -> None:
    ada = get_client(url=url, headers={"authorization": "Bearer ada-token"})
    bob = get_client(url=url, headers={"authorization": "Bearer bob-token"})
    await refused("nobody", get_client(url=url).threads.create())
    say("assistants", [each["graph_id"] for each in await ada.assistants.search()])
    drawn = await ada.assistants.get_graph("agent", xray=True)
    say("nodes", sorted(each["id"] for each in drawn["nodes"]))
    for key, text in {"tea": "green tea", "sea": "the sea", "jazz": "jazz quartz"}.items():
        await ada.store.put_item(["ada", "likes"], key, {"text": text})
    found = await ada.store.search_items(["ada", "likes"], query="green tea", limit=2)
    say("nearest", [(each["key"], round(float(each["score"] or 0), 3)) for each in found["items"]])
    thread = await ada.threads.create(metadata={"topic": "letters"})
    say("thread", [thread["status"], thread["metadata"]["topic"], thread["metadata"]["owner"]])
    await _first_run(ada, thread["thread_id"])
    await refused("bob reads the thread", bob.threads.get(thread["thread_id"]))
    await refused("bob reads the store", bob.store.search_items(["ada"]))
    await _second_run(ada, thread["thread_id"])


async def _first_run(ada: Any, thread_id: str) -> None:
    stream = ada.runs.stream(
        thread_id, "agent", input=_INPUT, context={"tone": "short"}, stream_mode=["updates"], stream_subgraphs=True
    )
    async for part in stream:
        say(re.sub(r"\|.*", "|…", part.event), part.data if part.event.startswith("updates") else "…")
    state = await ada.threads.get_state(thread_id)
    say("next", state["next"])
    say("interrupts", [each["value"] for task in state["tasks"] for each in task["interrupts"]])
    say("status", (await ada.threads.get(thread_id))["status"])


async def _second_run(ada: Any, thread_id: str) -> None:
    values = await ada.runs.wait(thread_id, "agent", command={"resume": {"send": True}})
    say("answer", [(each["type"], each["content"]) for each in values["messages"]])
    say("letter", [values["letter"], values["sent"], values["likes"]])
    say("status", (await ada.threads.get(thread_id))["status"])
    item = await ada.store.get_item(["ada", "letters"], "latest")
    say("remembered", item["value"])
    say("namespaces", (await ada.store.list_namespaces(prefix=["ada"]))["namespaces"])
    history = await ada.threads.get_history(thread_id, limit=20)
    say("history", [each["next"] for each in history])
    say("runs", [each["status"] for each in await ada.runs.list(thread_id)])
    say("threads", [each["metadata"]["topic"] for each in await ada.threads.search(metadata={"topic": "letters"})])
    await ada.threads.delete(thread_id)
    await refused("deleted", ada.threads.get(thread_id))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
