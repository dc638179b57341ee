"""The config, context and metadata that a run's graph sees, from assistant, thread and run."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient
from network.sse_client import problem_detail


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


FORGED = {
    "thread_id": "forged",
    "run_id": "forged",
    "graph_id": "forged",
    "assistant_id": "forged",
    "user_id": "forged",
    "langgraph_auth_user_id": "forged",
    "langgraph_auth_permissions": ["admin"],
    "langgraph_request_id": "forged",
    "run_attempt": 99,
    "langgraph_version": "0",
    "__internal": 1,
    "agenthall_notices": ["forged"],
    "mine": "kept",
}


@pytest.mark.parametrize("where", ["config", "run", "thread", "patched thread", "assistant", "assistant's config"])
async def test_metadata_of_a_client_never_replaces_the_servers(
    client: LangGraphClient, http: httpx.AsyncClient, where: str
) -> None:
    made = await client.assistants.create(
        "context",
        {"metadata": FORGED if where == "assistant's config" else {}},
        metadata=FORGED if where == "assistant" else {},
    )
    thread = (await client.threads.create(metadata=FORGED if where == "thread" else {}))["thread_id"]
    if where == "patched thread":
        await client.threads.update(thread, metadata=FORGED)
    body = {"config": {"metadata": FORGED}} if where == "config" else {"metadata": FORGED} if where == "run" else {}
    body |= {"assistant_id": made["assistant_id"], "input": {}}
    waited = await http.post(f"/threads/{thread}/runs/wait", json=body)
    told = waited.json()["seen"]["metadata"]
    (run,) = await client.runs.list(thread)
    assert told["mine"] == "kept"
    names = {"thread_id": thread, "run_id": run["run_id"], "graph_id": "context", "assistant_id": made["assistant_id"]}
    assert {name: told[name] for name in names} == names
    assert (told["user_id"], told["langgraph_auth_user_id"], told["run_attempt"]) == ("local", "local", 1)
    assert not {name for name, value in told.items() if value == FORGED.get(name) and name != "mine"}
    assert (run["metadata"]["graph_id"], run["metadata"]["assistant_id"]) == ("context", made["assistant_id"])
    assert "agenthall_notices" not in run["metadata"] or where == "assistant"
    state = await client.threads.get_state(thread)
    assert (state["metadata"]["run_id"], state["metadata"]["user_id"]) == (run["run_id"], "local")


async def test_the_graph_that_ran_last_on_a_thread_is_named_by_the_server(client: LangGraphClient) -> None:
    thread = (await client.threads.create(graph_id="echo", metadata={"user_id": "a label"}))["thread_id"]
    assert (await client.threads.get(thread))["metadata"] == {"graph_id": "echo", "user_id": "a label"}
    await client.runs.wait(thread, "context", input={})
    changed = await client.threads.update(thread, metadata={"graph_id": "echo", "assistant_id": "x", "user_id": "new"})
    assert (changed["metadata"]["graph_id"], changed["metadata"]["user_id"]) == ("context", "new")
    assert changed["metadata"]["assistant_id"] != "x"


async def test_what_the_server_sets_cannot_be_set_by_a_client(
    client: LangGraphClient, http: httpx.AsyncClient, thread: str, assistant: str
) -> None:
    names = ("thread_id", "run_id", "graph_id", "assistant_id", "checkpoint_id", "checkpoint_ns")
    evil: Any = dict.fromkeys([*names, "langgraph_auth_user_id", "__pregel_send", "langgraph_x"], "evil")
    for given in ({"config": {"configurable": evil}}, {"context": evil}):
        body = {"assistant_id": assistant, "input": {}, **given}
        answer = await http.post(f"/threads/{thread}/runs/wait", json=body)
        configurable = answer.json()["seen"]["configurable"]
        assert "evil" not in configurable.values()
        assert (configurable["thread_id"], configurable["assistant_id"]) == (thread, assistant)
        assert configurable["run_id"] == answer.headers["content-location"].rpartition("/")[2]
        assert configurable["graph_id"] == "context"
    stored = await client.assistants.create("context", {"configurable": {**evil, "own": 1}})
    assert stored["config"]["configurable"] == stored["context"] == {"own": 1}


async def test_a_context_is_the_graphs_own_with_all_its_names(client: LangGraphClient, thread: str) -> None:
    wanted = {"user_id": "ada", "thread_id": "of ours"}
    assert await seen_by(client, thread, "person", context=wanted) == wanted
    stored = await client.assistants.create("person", context=wanted)
    assert (stored["context"], stored["config"]["configurable"]) == (wanted, {"user_id": "ada"})
    assert await seen_by(client, thread, stored["assistant_id"]) == wanted
    changed = await client.assistants.update(stored["assistant_id"], context=wanted | {"user_id": "bob"})
    assert (changed["context"]["thread_id"], changed["config"]["configurable"]) == ("of ours", {"user_id": "bob"})


async def test_a_graph_with_a_context_schema_runs_without_a_context(client: LangGraphClient, thread: str) -> None:
    assert await seen_by(client, thread, "person") == {"user_id": "nobody", "thread_id": ""}


async def test_a_configurable_fills_a_context_as_far_as_its_schema_goes(client: LangGraphClient, thread: str) -> None:
    config: Any = {"configurable": {"user_id": "ada", "other": 1}}
    assert await seen_by(client, thread, "person", config=config) == {"user_id": "ada", "thread_id": ""}


@pytest.mark.parametrize("given", [{"context": {"user_id": "ada"}}, {"config": {"configurable": {"user_id": "ada"}}}])
async def test_a_client_says_for_which_user_it_runs_where_nobody_is_authenticated(
    client: LangGraphClient, thread: str, given: dict[str, Any]
) -> None:
    seen = await seen_by(client, thread, "context", **given)
    assert seen["configurable"]["user_id"] == "ada"
    assert (seen["metadata"]["user_id"], seen["configurable"]["langgraph_auth_user_id"]) == ("local", "local")
    assert (await seen_by(client, thread, "context"))["configurable"]["user_id"] == "local"


async def test_context_and_configurable_together_are_400(http: httpx.AsyncClient, thread: str) -> None:
    body = {"assistant_id": "context", "context": {"a": 1}, "config": {"configurable": {"b": 1}}}
    answer = await http.post(f"/threads/{thread}/runs", json=body)
    assert answer.status_code == 400
    assert problem_detail(answer).startswith("Cannot specify both configurable and context.")


@pytest.mark.parametrize(
    ("mcp_config", "field"),
    [
        ({"mcpServers": {}}, "configurable.mcp_config.mcpServers"),
        ({"server": {"url": "http://127.0.0.1:9"}}, "configurable.mcp_config.server"),
        ({"url": "http://127.0.0.1:9", "headers": {}}, "configurable.mcp_config.headers"),
        ({"servers": [{"name": "a"}]}, "configurable.mcp_config.servers.0.url"),
    ],
)
async def test_an_mcp_config_of_another_form_is_refused_by_name_wherever_it_is_given(
    http: httpx.AsyncClient, thread: str, mcp_config: Any, field: str
) -> None:
    agent = (await http.post("/assistants", json={"graph_id": "agent"})).json()["assistant_id"]
    own = {"configurable": {"mcp_config": mcp_config}}
    for method, path, more in (
        ("POST", "/assistants", {"graph_id": "agent"}),
        ("PATCH", f"/assistants/{agent}", {}),
        ("POST", "/runs/wait", {"assistant_id": agent}),
        ("POST", f"/threads/{thread}/runs", {"assistant_id": "agent"}),
    ):
        for given in ({"config": own}, {"context": own["configurable"]}):
            answer = await http.request(method, path, json={**more, **given})
            assert (answer.status_code, answer.json()["field"]) == (422, field), path
            assert field.rpartition(".")[2] in problem_detail(answer)


async def test_an_mcp_config_of_a_single_server_is_taken(http: httpx.AsyncClient) -> None:
    single = {"url": "http://127.0.0.1:9/mcp", "tools": ["x"], "auth_required": False}
    body = {"graph_id": "agent", "config": {"configurable": {"mcp_config": single}}}
    made = (await http.post("/assistants", json=body)).raise_for_status().json()
    given = {"messages": [{"role": "user", "content": "hello"}]}
    answer = await http.post("/runs/wait", json={"assistant_id": made["assistant_id"], "input": given})
    assert "http://127.0.0.1:9/mcp" in answer.json()["messages"][-1]["content"], "the server is named as unavailable"


async def test_a_graph_of_ones_own_may_have_an_mcp_config_of_its_own_form(client: LangGraphClient, thread: str) -> None:
    seen = await seen_by(client, thread, "context", context={"mcp_config": ["anything"]})
    assert seen["configurable"]["mcp_config"] == ["anything"]


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


@pytest.mark.parametrize("path", ["/runs/wait", "/runs", "/runs/batch", "/threads/{thread}/runs/stream", "/assistants"])
@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"config": {"configurable": {"user_token": "s3cret"}}}, "configurable.user_token"),
        ({"context": {"headers": {"Authorization": "s3cret"}}}, "context.headers.Authorization"),
        ({"config": {"configurable": {"apiKeys": {"OPENAI_API_KEY": "s3cret"}}}}, "configurable.apiKeys"),
    ],
)
async def test_a_secret_is_refused_and_named(
    http: httpx.AsyncClient, thread: str, path: str, given: dict[str, Any], field: str
) -> None:
    body = {"graph_id" if path == "/assistants" else "assistant_id": "context", **given}
    answer = await http.post(path.format(thread=thread), json=[body] if path.endswith("batch") else body)
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (
        422,
        "secret_in_configuration",
        field,
    )
    assert "s3cret" not in answer.text and "environment" in problem_detail(answer)


async def test_a_secret_is_refused_in_a_change_of_an_assistant(http: httpx.AsyncClient) -> None:
    made = (await http.post("/assistants", json={"graph_id": "context"})).json()["assistant_id"]
    answer = await http.patch(f"/assistants/{made}", json={"context": {"password": "x"}})
    assert (answer.status_code, answer.json()["field"]) == (422, "context.password")
