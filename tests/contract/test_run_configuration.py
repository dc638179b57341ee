"""What a run's graph sees: config, context and metadata of assistant, thread and run."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient

from .wire import detail


async def seen_by(client: LangGraphClient, thread: str, assistant: str, **given: Any) -> dict[str, Any]:
    return dict((await client.runs.wait(thread, assistant, input={}, **given))["seen"])


@pytest.fixture(scope="module")
async def assistant(client: LangGraphClient) -> str:
    made = await client.assistants.create(
        "context",
        {"tags": ["at"], "recursion_limit": 7},
        context={"user": "from-assistant", "keep": 1},
        metadata={"am": 1, "who": "assistant"},
    )
    return made["assistant_id"]


async def test_the_assistants_configuration_is_used(client: LangGraphClient, thread: str, assistant: str) -> None:
    seen = await seen_by(client, thread, assistant)
    assert seen["configurable"]["user"] == "from-assistant"
    assert seen["tags"] == ["at"]


@pytest.mark.parametrize(
    "given", [{"context": {"user": "from-run"}}, {"config": {"configurable": {"user": "from-run"}}}]
)
async def test_the_runs_own_wins_key_by_key_and_tags_are_replaced(
    client: LangGraphClient, thread: str, assistant: str, given: dict[str, Any]
) -> None:
    given = {**given, "config": {"tags": ["rt"], **given.get("config", {})}}
    seen = await seen_by(client, thread, assistant, **given)
    assert (seen["configurable"]["user"], seen["configurable"]["keep"]) == ("from-run", 1)
    assert seen["tags"] == ["rt"]


async def test_metadata_of_the_run_wins_over_the_threads_and_that_over_the_assistants(
    client: LangGraphClient, assistant: str
) -> None:
    thread = (await client.threads.create(metadata={"tm": 1, "who": "thread"}))["thread_id"]
    told = (await seen_by(client, thread, assistant, metadata={"rm": 1}))["metadata"]
    assert (told["am"], told["tm"], told["rm"], told["who"]) == (1, 1, 1, "thread")
    told = (await seen_by(client, thread, assistant, metadata={"who": "run"}))["metadata"]
    assert (told["who"], told["graph_id"], told["assistant_id"]) == ("run", "context", assistant)
    [newest, _] = await client.runs.list(thread)
    assert newest["metadata"]["who"] == "run"


async def test_metadata_in_the_config_reaches_the_graph_below_the_runs_own(
    client: LangGraphClient, thread: str
) -> None:
    config: Any = {"metadata": {"cm": 1, "who": "config"}, "run_name": "a name", "max_concurrency": 2}
    told = (await seen_by(client, thread, "context", config=config, metadata={"who": "run"}))["metadata"]
    assert (told["cm"], told["who"]) == (1, "run")


async def test_what_the_server_sets_cannot_be_set_by_a_client(
    client: LangGraphClient, http: httpx.AsyncClient, thread: str, assistant: str
) -> None:
    names = ("thread_id", "run_id", "graph_id", "assistant_id", "user_id", "checkpoint_id", "checkpoint_ns")
    evil: Any = dict.fromkeys([*names, "langgraph_auth_user_id", "__pregel_send", "langgraph_x"], "evil")
    for given in ({"config": {"configurable": evil}}, {"context": evil}):
        body = {"assistant_id": assistant, "input": {}, **given}
        answer = await http.post(f"/threads/{thread}/runs/wait", json=body)
        configurable = answer.json()["seen"]["configurable"]
        assert "evil" not in configurable.values()
        assert (configurable["thread_id"], configurable["assistant_id"]) == (thread, assistant)
        assert configurable["run_id"] == answer.headers["content-location"].rpartition("/")[2]
        assert (configurable["graph_id"], configurable["user_id"]) == ("context", "local")
    stored = await client.assistants.create("context", context={**evil, "own": 1})
    assert stored["context"] == {"own": 1}


async def test_context_and_configurable_together_are_400(http: httpx.AsyncClient, thread: str) -> None:
    body = {"assistant_id": "context", "context": {"a": 1}, "config": {"configurable": {"b": 1}}}
    answer = await http.post(f"/threads/{thread}/runs", json=body)
    assert answer.status_code == 400
    assert detail(answer).startswith("Cannot specify both configurable and context.")


async def test_a_run_keeps_the_version_of_the_assistant_that_it_began_with(
    client: LangGraphClient, thread: str
) -> None:
    made = (await client.assistants.create("context", context={"user": "one"}))["assistant_id"]
    run = await client.runs.create(thread, made, input={}, after_seconds=0.5)
    await client.assistants.update(made, context={"user": "two"})
    first: Any = await client.runs.join(thread, run["run_id"])
    assert first["seen"]["configurable"]["user"] == "one"
    assert (await seen_by(client, thread, made))["configurable"]["user"] == "two"


async def test_the_thread_shows_the_last_runs_config_without_what_the_server_set(
    client: LangGraphClient, thread: str, assistant: str
) -> None:
    config: Any = {"tags": ["rt"], "configurable": {"user": "u", "thread_id": "evil"}}
    await seen_by(client, thread, assistant, config=config)
    assert (await client.threads.get(thread))["config"] == {"tags": ["rt"], "configurable": {"user": "u"}}
