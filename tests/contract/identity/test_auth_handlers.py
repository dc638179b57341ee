"""A project's `Auth` handlers decide who may do what: the real SDK against a server with `auth_projects/teams.py`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from databases import fresh_database
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import BadRequestError, ConflictError, NotFoundError, PermissionDeniedError
from servers.live_server import GRAPHS, SAMPLES, LiveServer, live_server, until

from robyn_server.core.ids import default_assistant_id

PROJECTS = SAMPLES.parent / "auth_projects"
SERVED = json.dumps(GRAPHS | {"whoami": f"{SAMPLES}:whoami"})


@pytest.fixture(scope="module")
async def server(postgres: str, template: str) -> AsyncIterator[LiveServer]:
    settings = {
        "AGENTHALL_AUTH": f"{PROJECTS / 'teams.py'}:auth",
        "AGENTHALL_GRAPHS": SERVED,
        "AGENTHALL_STREAMS_RECHECK": "0.2",
    }
    async with fresh_database(postgres, template) as url, live_server(url, **settings) as running:
        yield running


def sdk(server: LiveServer, token: str) -> LangGraphClient:
    return server.sdk(authorization=f"Bearer {token}")


@pytest.fixture(scope="module")
def ada(server: LiveServer) -> LangGraphClient:
    return sdk(server, "ada:red:delete")


@pytest.fixture(scope="module")
def abe(server: LiveServer) -> LangGraphClient:
    """In Ada's team, without the permission to delete."""
    return sdk(server, "abe:red:reader")


@pytest.fixture(scope="module")
def bob(server: LiveServer) -> LangGraphClient:
    """In another team."""
    return sdk(server, "bob:blue:delete")


# Authentication ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "status", "detail"),
    [
        ("teapot", 418, "GET /threads/x/state"),
        ("welcome", 500, "The project's auth handler failed. The server's log has the reason."),
        ("bug", 500, "The project's auth handler failed. The server's log has the reason."),
        ("cancelled", 500, "The project's auth handler failed. The server's log has the reason."),
        ("exiting", 500, "The project's auth handler failed. The server's log has the reason."),
        ("none", 500, "The project's auth handler failed. The server's log has the reason."),
        ("system", 500, "The project's auth handler failed. The server's log has the reason."),
        ("inactive", 401, "The credentials are not valid."),
        ("slow", 503, "The project's auth handler did not answer within 5 s. Try again."),
    ],
)
async def test_a_handler_that_refuses_or_fails_lets_nobody_in(
    server: LiveServer, token: str, status: int, detail: str
) -> None:
    async with server.http(authorization=f"Bearer {token}") as http:
        answer = await http.get("/threads/x/state")
    assert (answer.status_code, answer.json()["detail"]) == (status, detail)


async def test_a_bug_is_logged_with_the_projects_frames(server: LiveServer) -> None:
    async with server.http(authorization="Bearer bug") as http:
        await http.get(f"/threads/{uuid4()}")
    # another thread writes the log
    await until(lambda: "missing_member" in (log := server.webs[0].read_log()) and "in _bug" in log)


async def test_a_refusal_has_the_handlers_headers(server: LiveServer) -> None:
    async with server.http() as http:
        answer = await http.post("/threads", json={})
    assert (answer.status_code, answer.json()["detail"]) == (401, "no token")
    assert answer.headers.get_list("www-authenticate") == ["Teams"]


async def test_the_servers_own_routes_keep_their_rules(server: LiveServer) -> None:
    async with server.http() as http:
        for path in ("/ok", "/info", "/docs", "/openapi.json", "/metrics", "/agents/sync", "/keys"):
            assert (await http.get(path)).status_code == 200, path


async def test_credentials_come_before_the_body(server: LiveServer) -> None:
    async with server.http() as http:
        assert (await http.post("/threads", content=b"{")).status_code == 401
        assert (await http.post("/runs/crons", json={})).status_code == 401


# Threads and runs ----------------------------------------------------------------------------------------------------


async def test_a_team_shares_its_threads_and_others_do_not_see_them(
    ada: LangGraphClient, abe: LangGraphClient, bob: LangGraphClient
) -> None:
    thread = await ada.threads.create(metadata={"team": "blue", "mark": 1})
    assert thread["metadata"] == {"team": "red", "mark": 1}, "the handler's value wins"
    thread_id = thread["thread_id"]
    assert await ada.runs.wait(thread_id, "echo", input={"text": "hello"}) == {"text": "hello"}
    (run,) = await abe.runs.list(thread_id)
    assert (await abe.threads.get_state(thread_id))["values"] == {"text": "hello"}
    assert len(await abe.threads.get_history(thread_id)) == 3
    assert [each["thread_id"] for each in await abe.threads.search(ids=[thread_id])] == [thread_id]
    hidden = [
        bob.threads.get(thread_id),
        bob.threads.update(thread_id, metadata={"team": "blue"}),
        bob.threads.delete(thread_id),
        bob.threads.copy(thread_id),
        bob.threads.get_state(thread_id),
        bob.threads.get_history(thread_id),
        bob.threads.update_state(thread_id, {"text": "mine"}),
        bob.runs.list(thread_id),
        bob.runs.get(thread_id, run["run_id"]),
        bob.runs.delete(thread_id, run["run_id"]),
        bob.runs.cancel(thread_id, run["run_id"]),
        bob.runs.create(thread_id, "echo"),
        bob.runs.create(thread_id, "echo", if_not_exists="create"),
        bob.runs.wait(thread_id, "echo", if_not_exists="create"),
    ]
    for call in hidden:
        with pytest.raises((NotFoundError, httpx.HTTPStatusError), match=r"(?i)not found|no runs found"):
            await call
    assert await bob.threads.search(ids=[thread_id]) == []
    with pytest.raises(ConflictError):
        await bob.threads.create(thread_id=thread_id, if_exists="do_nothing")
    with pytest.raises(httpx.HTTPStatusError, match="404 Not Found"):
        await bob.runs.join(thread_id, run["run_id"])
    assert len(await ada.runs.list(thread_id)) == 1, "nothing of Bob's happened"
    assert (await ada.threads.get(thread_id))["values"] == {"text": "hello"}


async def test_a_team_prunes_its_own_threads_and_sees_what_they_take(
    server: LiveServer, ada: LangGraphClient, abe: LangGraphClient, bob: LangGraphClient
) -> None:
    thread_id = (await ada.threads.create(ttl=60))["thread_id"]
    await ada.runs.wait(thread_id, "counter", input={"until": 3})
    assert (await abe.threads.get(thread_id, include=["ttl"]))["ttl"]["ttl_minutes"] == 60  # type: ignore[typeddict-item]
    for strategy in ("delete", "keep_latest"):
        assert await bob.threads.prune([thread_id], strategy=strategy) == {"pruned_count": 0}  # type: ignore[arg-type]
        with pytest.raises(PermissionDeniedError):
            await abe.threads.prune([thread_id], strategy=strategy)  # type: ignore[arg-type]
    for token, status in (("bob:blue:delete", 404), ("abe:red:reader", 200)):
        async with server.http(authorization=f"Bearer {token}") as http:
            assert (await http.get(f"/threads/{thread_id}/storage")).status_code == status
    assert await ada.threads.prune([thread_id], strategy="keep_latest") == {"pruned_count": 1}
    assert len(await abe.threads.get_history(thread_id)) == 1
    assert await ada.threads.prune([thread_id]) == {"pruned_count": 1}


async def test_a_search_and_a_count_find_only_granted_threads_behind_many_others(
    server: LiveServer, ada: LangGraphClient, bob: LangGraphClient
) -> None:
    mark = uuid4().hex
    connection = await asyncpg.connect(server.database)
    await connection.execute(
        "insert into agenthall.threads (thread_id, owner_id, metadata) select gen_random_uuid(), 'carl',"
        " jsonb_build_object('team', 'green', 'mark', $1::text) from generate_series(1, 700)",
        mark,
    )
    own = [(await ada.threads.create(metadata={"mark": mark}))["thread_id"] for _ in range(3)]
    await bob.threads.create(metadata={"mark": mark})
    await connection.execute(
        "insert into agenthall.threads (thread_id, owner_id, metadata) select gen_random_uuid(), 'carl',"
        " jsonb_build_object('team', 'green', 'mark', $1::text) from generate_series(1, 700)",
        mark,
    )
    await connection.close()
    for order in ("thread_id", "status", "created_at", "updated_at", "state_updated_at"):
        found = await ada.threads.search(metadata={"mark": mark}, sort_by=order, sort_order="asc", limit=2)
        again = await ada.threads.search(metadata={"mark": mark}, sort_by=order, sort_order="asc", limit=2, offset=2)
        assert [each["thread_id"] for each in found + again] == own, order
    assert await ada.threads.count(metadata={"mark": mark}) == 3
    assert await ada.threads.count(metadata={"mark": mark, "team": "green"}) == 3, "the handler's value wins"


async def test_a_thread_cannot_be_moved_to_another_team(server: LiveServer, ada: LangGraphClient) -> None:
    thread_id = (await ada.threads.create())["thread_id"]
    with pytest.raises(PermissionDeniedError, match="filter does not match"):
        await ada.threads.update(thread_id, metadata={"team": "blue"})
    assert (await ada.threads.get(thread_id))["metadata"] == {"team": "red"}


async def test_a_denied_action_is_403(ada: LangGraphClient, abe: LangGraphClient) -> None:
    thread_id = (await ada.threads.create())["thread_id"]
    with pytest.raises(PermissionDeniedError, match="Forbidden"):
        await abe.threads.delete(thread_id)
    with pytest.raises(PermissionDeniedError):
        await abe.threads.update_state(thread_id, {"text": 1})
    await ada.threads.delete(thread_id)


async def test_a_copy_needs_the_rights_to_read_and_to_create(ada: LangGraphClient, abe: LangGraphClient) -> None:
    thread_id = (await ada.threads.create())["thread_id"]
    await ada.runs.wait(thread_id, "echo", input={"text": 1})
    copied = await abe.threads.copy(thread_id)
    assert copied is None or copied["metadata"]["team"] == "red"
    found = await abe.threads.search(metadata={"graph_id": "echo", "team": "red"}, limit=1)
    assert (await abe.threads.get_state(found[0]["thread_id"]))["values"] == {"text": 1}


async def test_a_run_without_a_thread_belongs_to_the_team(server: LiveServer, ada: LangGraphClient) -> None:
    run = await ada.runs.create(None, "counter", input={"until": 50, "delay": 0.2}, on_completion="keep")
    assert run["metadata"]["team"] == "red"
    path = f"/threads/{run['thread_id']}/runs/{run['run_id']}"
    async with server.http(authorization="Bearer bob:blue:delete") as http:
        assert (await http.get(path)).status_code == 404
        assert (await http.get(f"/runs/{run['run_id']}/stream")).status_code == 404
        assert (await http.post(f"{path}/cancel")).status_code == 404
        named = {"thread_id": run["thread_id"], "run_ids": [run["run_id"]]}
        assert (await http.post("/runs/cancel", json=named)).status_code == 404
        assert (await http.post("/runs/cancel", json={"status": "all"})).status_code == 404
    async with server.http(authorization="Bearer abe:red:reader") as http:
        assert (await http.get(path)).json()["status"] in ("pending", "running")
        joined = await http.get(f"{path}/join", params={"cancel_on_disconnect": True})
        assert joined.status_code == 403, "it would cancel, which is an update"
    await ada.runs.cancel(run["thread_id"], run["run_id"], wait=True)
    await ada.threads.delete(run["thread_id"])


async def test_a_batch_and_a_stream_are_authorized_as_a_run_is(ada: LangGraphClient, bob: LangGraphClient) -> None:
    batch = await ada.runs.create_batch([{"assistant_id": "echo", "input": {"text": n}} for n in range(2)])
    assert [run["metadata"]["team"] for run in batch] == ["red", "red"]
    thread_id = (await ada.threads.create())["thread_id"]
    events = [part.event async for part in ada.runs.stream(thread_id, "echo", input={"text": 1})]
    assert events == ["metadata", "values", "values"]
    with pytest.raises(NotFoundError):
        _ = [part async for part in bob.runs.stream(thread_id, "echo", input={"text": 1}, if_not_exists="create")]


async def test_a_thread_that_a_run_creates_has_the_metadata_of_the_handler(
    ada: LangGraphClient, bob: LangGraphClient
) -> None:
    thread_id = str(uuid4())
    await ada.runs.wait(thread_id, "echo", input={"text": 1}, if_not_exists="create", metadata={"team": "blue"})
    assert (await ada.threads.get(thread_id))["metadata"]["team"] == "red"
    with pytest.raises(NotFoundError):
        await bob.threads.get(thread_id)


@pytest.mark.parametrize(
    ("permission", "status"), [("guest", 403), ("closed", 402), ("confused", 500)], ids=["denied", "refused", "wrong"]
)
async def test_a_denied_run_creates_no_thread(
    server: LiveServer, ada: LangGraphClient, permission: str, status: int
) -> None:
    thread_id = str(uuid4())
    async with server.http(authorization=f"Bearer gus:red:{permission}") as http:
        for path in ("", "/wait", "/stream"):
            wanted = {"assistant_id": "echo", "if_not_exists": "create"}
            assert (await http.post(f"/threads/{thread_id}/runs{path}", json=wanted)).status_code == status
            assert (await http.post(f"/runs{path}", json={"assistant_id": "echo"})).status_code == status
        assert (await http.post("/runs/batch", json=[{"assistant_id": "echo"}])).status_code == status
    with pytest.raises(NotFoundError):
        await ada.threads.get(thread_id)


async def test_what_a_handler_changes_in_a_run_is_executed(server: LiveServer) -> None:
    client = sdk(server, "sam:red:stamped")
    said = {"text": f"{default_assistant_id('echo')} for sam"}
    assert await client.runs.wait(None, "echo", input={"text": "mine"}) == said
    batch = await client.runs.create_batch([{"assistant_id": "echo", "input": {"text": n}} for n in range(2)])
    assert [run["kwargs"]["input"] for run in batch] == [said, said]


async def test_a_user_is_in_no_organization(server: LiveServer) -> None:
    headers = {"authorization": "Bearer ada:red", "x-organization-id": str(uuid4())}
    async with server.http(**headers) as http:
        answer = await http.post("/threads", json={})
    assert (answer.status_code, answer.json()["field"]) == (403, "X-Organization-Id")


async def test_an_open_stream_is_read_to_its_end_by_its_user(ada: LangGraphClient) -> None:
    """The rights are checked five times a second meanwhile."""
    thread_id = (await ada.threads.create())["thread_id"]
    stream = ada.runs.stream(thread_id, "counter", input={"until": 8, "delay": 0.2}, stream_mode="values")
    last = [part async for part in stream][-1]
    assert last.data["count"] == 8


# The user in the graph -----------------------------------------------------------------------------------------------


async def test_a_graph_gets_the_user_and_answers_do_not(server: LiveServer, ada: LangGraphClient) -> None:
    thread_id = (await ada.threads.create())["thread_id"]
    wanted = {
        "configurable": {
            "langgraph_auth_user": {"identity": "eve"},
            "langgraph_auth_user_id": "eve",
            "langgraph_auth_permissions": ["all"],
        }
    }
    seen = await ada.runs.wait(thread_id, "whoami", input={}, config=wanted)
    assert seen["user"] == {
        "identity": "ada",
        "display_name": "ada",
        "is_authenticated": True,
        "permissions": ["delete"],
        "team": "red",
        "secret": "for the graph only",
        "is_attribute": True,
    }
    assert (seen["user_id"], seen["permissions"], seen["runtime_user"]) == ("ada", ["delete"], "ada")
    (run,) = await ada.runs.list(thread_id)
    state = await ada.threads.get_state(thread_id)
    checkpoint = {key: value for key, value in state.items() if key != "values"}
    assert "for the graph only" not in json.dumps([run, checkpoint])


async def test_a_run_on_the_thread_of_another_has_the_user_that_created_the_run(
    ada: LangGraphClient, abe: LangGraphClient
) -> None:
    thread_id = (await ada.threads.create())["thread_id"]
    seen = await abe.runs.wait(thread_id, "whoami", input={})
    assert (seen["user_id"], seen["user"]["identity"]) == ("abe", "abe")


# Assistants ----------------------------------------------------------------------------------------------------------


async def test_an_assistant_is_found_and_run_by_those_that_the_filter_names(
    ada: LangGraphClient, abe: LangGraphClient, bob: LangGraphClient
) -> None:
    assistant = await ada.assistants.create("echo", name="echo of red", metadata={"teams": ["blue"]})
    assistant_id = assistant["assistant_id"]
    assert assistant["metadata"]["teams"] == ["red"]
    assert (await abe.assistants.get(assistant_id))["name"] == "echo of red"
    assert assistant_id in {each["assistant_id"] for each in await abe.assistants.search(limit=100)}
    assert assistant_id in {each["assistant_id"] for each in await abe.assistants.search(metadata={"teams": ["red"]})}
    assert await abe.assistants.count(name="echo of red") == 1
    assert (await abe.assistants.update(assistant_id, name="echo of RED"))["version"] == 2
    assert len(await abe.assistants.get_versions(assistant_id)) == 2
    assert await abe.runs.wait(None, assistant_id, input={"text": 1}) == {"text": 1}
    thread_id = (await bob.threads.create())["thread_id"]
    hidden = [
        bob.assistants.get(assistant_id),
        bob.assistants.update(assistant_id, name="mine"),
        bob.assistants.get_versions(assistant_id),
        bob.assistants.set_latest(assistant_id, 1),
        bob.assistants.get_schemas(assistant_id),
        bob.assistants.get_graph(assistant_id),
        bob.runs.create(None, assistant_id, input={"text": 1}),
        bob.runs.create(thread_id, assistant_id, input={"text": 1}),
        bob.runs.create_batch([{"assistant_id": assistant_id}]),
    ]
    for call in hidden:
        with pytest.raises(NotFoundError):
            await call
    assert await bob.assistants.count(name="echo of RED") == 0
    assert assistant_id not in {each["assistant_id"] for each in await bob.assistants.search(limit=100)}
    with pytest.raises(PermissionDeniedError):
        await ada.assistants.delete(assistant_id)  # the global handler denies


async def test_an_agent_of_the_registry_is_named_and_the_handler_decides_about_its_assistant(
    server: LiveServer, ada: LangGraphClient, bob: LangGraphClient
) -> None:
    connection = await asyncpg.connect(server.database)
    await connection.execute("set role agenthall_system")
    assistant_id = await connection.fetchval(
        "select config_id from mcp.register_agent_instance($1, 'red-bot', 'c1')", uuid4()
    )
    await connection.execute(
        """update agenthall.assistants set metadata = metadata || '{"teams": ["red"]}', version = 2
            where assistant_id = $1""",
        assistant_id,
    )
    await connection.execute("update mcp.agent_configurations set jobs = '{\"schedule_to_start_seconds\": 0}'")
    assert (await ada.assistants.get("red-bot"))["assistant_id"] == str(assistant_id)
    client = sdk(server, "sam:red:stamped")
    runs = [
        await client.runs.create(None, "red-bot", input={}),
        *await client.runs.create_batch([{"assistant_id": "red-bot", "input": {}}, {"assistant_id": "echo"}]),
    ]
    assert [each["assistant_id"] for each in runs] == [*[str(assistant_id)] * 2, str(default_assistant_id("echo"))]
    assert {each["kwargs"]["input"]["text"] for each in runs[:2]} == {f"{assistant_id} for sam"}
    for refused in (bob.assistants.get("red-bot"), bob.runs.create(None, "red-bot", input={})):
        with pytest.raises(NotFoundError):
            await refused
    await connection.execute("select mcp.register_agent_instance($1, 'red-bot', 'c1')", uuid4())
    with pytest.raises(BadRequestError, match="Several"):
        await ada.assistants.get("red-bot")
    await connection.close()


async def test_default_assistants_run_and_are_listed_only_where_the_filter_matches(ada: LangGraphClient) -> None:
    assert await ada.runs.wait(None, "echo", input={"text": 1}) == {"text": 1}
    listed = {each["assistant_id"] for each in await ada.assistants.search(limit=100)}
    assert default_assistant_id("echo") not in {UUID(each) for each in listed}
    with pytest.raises(NotFoundError):
        await ada.assistants.get(str(default_assistant_id("echo")))


# The store -----------------------------------------------------------------------------------------------------------


async def test_the_handler_divides_the_store_also_for_graphs(
    server: LiveServer, ada: LangGraphClient, bob: LangGraphClient
) -> None:
    await ada.store.put_item(["notes"], "first", {"by": "ada"})
    await bob.store.put_item(["notes"], "first", {"by": "bob"})
    item = await ada.store.get_item(["notes"], "first")
    assert (item["namespace"], item["value"]) == (["ada", "notes"], {"by": "ada"})
    assert (await ada.runs.wait(None, "whoami", input={}))["item"] == {"by": "ada"}
    found = (await bob.store.search_items([]))["items"]
    assert [(each["namespace"], each["value"]) for each in found] == [(["bob", "notes"], {"by": "bob"})]
    assert (await bob.store.list_namespaces())["namespaces"] == [["bob", "notes"]]
    assert (await bob.store.list_namespaces(["*"]))["namespaces"] == [["bob", "notes"]]
    await bob.store.delete_item(["notes"], "first")
    assert (await ada.store.get_item(["notes"], "first"))["value"] == {"by": "ada"}


async def test_wildcards_of_sql_are_letters_in_a_namespace(server: LiveServer, ada: LangGraphClient) -> None:
    for name in ("a_a", "%", "ad"):
        client = sdk(server, f"{name}:red")
        assert (await client.store.search_items([]))["items"] == []
        assert (await client.store.list_namespaces())["namespaces"] == []
    await ada.store.put_item(["x"], "k", {"v": 1})


async def test_an_identity_with_a_period_does_not_name_a_deeper_namespace(
    server: LiveServer, ada: LangGraphClient
) -> None:
    await ada.store.put_item(["private", "x"], "k", {"v": 1})
    async with server.http(authorization="Bearer ada.private:red") as http:
        answer = await http.get("/store/items", params={"namespace": "x", "key": "k"})
    assert answer.status_code == 422
    assert "without periods" in answer.json()["detail"]
