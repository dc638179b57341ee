"""Visibility with AUTH_MODE=jwt: organizations share the catalogue's assistants; threads and runs are private."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4, uuid5

import pytest
from network.sse_client import problem_detail
from servers.live_server import LiveServer
from users.demo_users import EDITOR, HARBOUR, MANAGER, MEADOW, RESEARCHER, SLOW, UNKNOWN_ORGANIZATION, token

from contract.conftest import UserClient, UserClientFactory

ECHO = str(uuid5(UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8"), "echo"))
ASKED = {"messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture(scope="module")
def anna(person: UserClientFactory) -> UserClient:
    """Of Harbour Law."""
    return person("anna", HARBOUR)


@pytest.fixture(scope="module")
def mark(person: UserClientFactory) -> UserClient:
    """Of Meadow Press."""
    return person("mark", MEADOW)


@pytest.fixture(scope="module")
def both(person: UserClientFactory) -> UserClient:
    return person("both", HARBOUR, MEADOW)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Basic YTpi"},
        {"authorization": "Bearer nonsense"},
        {"authorization": f"Bearer {token('anna', HARBOUR, expires_in=-60)}"},
        {"authorization": f"Bearer {token('anna', HARBOUR)[:-3]}abc"},
        {"authorization": f"Bearer {token('system', HARBOUR)}"},
        {"authorization": f"Bearer {token('anna', 'no-uuid')}"},
        {"x-api-key": "key"},
    ],
)
async def test_credentials_that_are_missing_expired_or_forged_are_401(
    jwt_server: LiveServer, headers: dict[str, str]
) -> None:
    async with jwt_server.http(**headers) as http:
        for method, path in (("GET", f"/assistants/{ECHO}"), ("POST", "/threads"), ("POST", "/runs/wait")):
            answer = await http.request(method, path, json={"assistant_id": "echo"})
            assert answer.status_code == 401 and problem_detail(answer)
            assert answer.headers["www-authenticate"] == "Bearer"
        for open_path in ("/ok", "/info", "/openapi.json"):
            assert (await http.get(open_path)).status_code == 200


async def test_a_user_finds_the_assistants_of_their_organization_and_everybodys(
    anna: UserClient, mark: UserClient
) -> None:
    async def found(one: UserClient) -> set[str]:
        return {each["assistant_id"] for each in await one.sdk.assistants.search(limit=100)}

    assert {RESEARCHER, SLOW, ECHO} <= await found(anna)
    assert not {EDITOR, MANAGER} & await found(anna)
    assert {EDITOR, MANAGER, ECHO} <= await found(mark)
    assert not {RESEARCHER, SLOW} & await found(mark)
    by_metadata = await mark.http.post("/assistants/search", json={"metadata": {"supabase_organization_id": HARBOUR}})
    assert by_metadata.json() == []


async def test_an_assistant_of_another_organization_is_404_everywhere(anna: UserClient) -> None:
    for method, path, body in (
        ("GET", f"/assistants/{EDITOR}", None),
        ("PATCH", f"/assistants/{EDITOR}", {"metadata": {"a": 1}}),
        ("DELETE", f"/assistants/{EDITOR}", None),
        ("POST", "/runs/wait", {"assistant_id": EDITOR, "input": ASKED}),
        ("POST", "/runs/stream", {"assistant_id": EDITOR, "input": ASKED}),
        ("POST", f"/threads/{await anna.thread()}/runs", {"assistant_id": EDITOR, "input": ASKED}),
        ("POST", "/assistants", {"graph_id": "agent", "metadata": {"supabase_agent_id": EDITOR}}),
    ):
        answer = await anna.http.request(method, path, json=body)
        assert answer.status_code == 404, (method, path, answer.text)


async def test_the_id_of_a_foreign_agent_cannot_be_taken(anna: UserClient, mark: UserClient) -> None:
    taken = await anna.http.post("/assistants", json={"graph_id": "echo", "assistant_id": MANAGER})
    assert taken.status_code == 409
    assert (await mark.http.get(f"/assistants/{MANAGER}")).status_code == 200


async def test_an_assistant_of_ones_own_is_private(anna: UserClient, person: UserClientFactory) -> None:
    colleague = person("colleague", HARBOUR)
    own = (await anna.sdk.assistants.create("echo", name="mine"))["assistant_id"]
    for method in ("GET", "PATCH", "DELETE"):
        assert (await colleague.http.request(method, f"/assistants/{own}", json={})).status_code == 404
    assert (await colleague.http.post("/runs/wait", json={"assistant_id": own})).status_code == 404
    body = {"graph_id": "echo", "assistant_id": own, "if_exists": "do_nothing"}
    assert (await colleague.http.post("/assistants", json=body)).status_code == 409
    assert not [each for each in await colleague.sdk.assistants.search(limit=100) if each["assistant_id"] == own]


async def test_the_servers_own_assistants_may_be_used_by_all_and_changed_by_administrators(
    anna: UserClient, person: UserClientFactory
) -> None:
    assert await anna.sdk.runs.wait(None, "echo", input={"text": 1}) == {"text": 1}
    for method in ("PATCH", "DELETE"):
        assert (await anna.http.request(method, f"/assistants/{ECHO}", json={"name": "x"})).status_code == 403
    root = person("root", permissions=("admin",))
    assert (await root.http.patch(f"/assistants/{ECHO}", json={"name": "echo"})).status_code == 200


@pytest.mark.parametrize("where", ["context", "configurable"])
async def test_the_user_id_of_an_authenticated_callers_run_is_its_own(anna: UserClient, where: str) -> None:
    forged = {"user_id": "somebody else"}
    given: Any = {"context": forged} if where == "context" else {"config": {"configurable": forged}}
    seen = await anna.sdk.runs.wait(None, "context", input={}, **given)
    assert isinstance(seen, dict)
    assert seen["seen"]["configurable"]["user_id"] == seen["seen"]["metadata"]["user_id"] != "somebody else"


async def test_threads_and_runs_of_somebody_else_are_404_everywhere(
    anna: UserClient, person: UserClientFactory
) -> None:
    other = person("colleague", HARBOUR)
    thread = await anna.thread()
    body = {"assistant_id": "counter", "input": {"until": 200, "delay": 0.02}, "stream_resumable": True}
    run = (await anna.http.post(f"/threads/{thread}/runs", json=body | {"config": {"recursion_limit": 500}})).json()[
        "run_id"
    ]
    path = f"/threads/{thread}"
    requests = [
        ("GET", path, None),
        ("PATCH", path, {"metadata": {"a": 1}}),
        ("DELETE", path, None),
        ("GET", f"{path}/state", None),
        ("GET", f"{path}/state/{uuid4()}", None),
        ("POST", f"{path}/state/checkpoint", {"checkpoint": {}}),
        ("GET", f"{path}/history", None),
        ("POST", f"{path}/history", {}),
        ("GET", f"{path}/runs", None),
        ("GET", f"{path}/runs/{run}", None),
        ("POST", f"{path}/runs/{run}/cancel", None),
        ("POST", f"{path}/runs", {"assistant_id": "echo"}),
        ("POST", f"{path}/runs/wait", {"assistant_id": "echo", "if_not_exists": "create"}),
        ("POST", f"{path}/runs/stream", {"assistant_id": "echo"}),
        ("GET", f"{path}/runs/{run}/join", None),
        ("GET", f"{path}/runs/{run}/stream", None),
        ("GET", f"/runs/{run}/stream", None),
    ]
    for method, where, given in requests:
        answer = await other.http.request(method, where, json=given)
        assert answer.status_code == 404, (method, where, answer.text)
    assert (await other.http.post("/threads", json={"thread_id": thread, "if_exists": "do_nothing"})).status_code == 409
    assert (await other.http.post("/threads/search", json={"ids": [thread]})).json() == []
    assert (await anna.http.post(f"{path}/runs/{run}/cancel", params={"wait": "1"})).status_code == 200


async def test_an_administrator_sees_all_threads_and_leaves_them_to_their_owner(
    anna: UserClient, person: UserClientFactory
) -> None:
    root = person("root", permissions=("admin",))
    thread = await anna.thread()
    assert await root.sdk.runs.wait(thread, "context", input={}) is not None
    seen: Any = await anna.sdk.runs.wait(thread, "context", input={})
    assert seen["seen"]["configurable"]["user_id"] == "anna"


async def test_an_organization_is_named_by_who_belongs_to_several(both: UserClient, person: UserClientFactory) -> None:
    for path, body in (
        ("/threads", {}),
        ("/assistants", {"graph_id": "echo"}),
        ("/runs", {"assistant_id": "echo"}),
        (f"/threads/{uuid4()}/runs", {"assistant_id": "echo", "if_not_exists": "create"}),
    ):
        answer = await both.http.post(path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (400, "organization_required"), path
        named = await both.http.post(path, json=body, headers={"x-organization-id": MEADOW})
        assert named.status_code == 200, named.text
    assert (await both.http.post("/threads/search", json={})).status_code == 200, (
        "where nothing is made, none is asked for"
    )


@pytest.mark.parametrize(
    ("named", "status"), [(UNKNOWN_ORGANIZATION, 403), (MEADOW, 403), ("nonsense", 422), ("", 422)]
)
async def test_a_foreign_organization_cannot_be_named(anna: UserClient, named: str, status: int) -> None:
    answer = await anna.http.post("/threads", json={}, headers={"x-organization-id": named})
    assert (answer.status_code, answer.json()["field"]) == (status, "X-Organization-Id")


async def test_only_administrators_say_which_servers_an_agent_dials(
    anna: UserClient, person: UserClientFactory
) -> None:
    servers = {"mcp_config": {"servers": [{"url": "http://127.0.0.1:9/mcp"}]}}
    for path, body in (
        ("/assistants", {"graph_id": "agent", "context": servers}),
        ("/assistants", {"graph_id": "agent", "config": {"configurable": servers}}),
        ("/runs/wait", {"assistant_id": "agent", "input": ASKED, "context": servers}),
        ("/runs", {"assistant_id": "agent", "input": ASKED, "config": {"configurable": servers}}),
    ):
        answer = await anna.http.post(path, json=body)
        assert (answer.status_code, answer.json()["field"]) == (403, "configurable.mcp_config")
    own = (await anna.sdk.assistants.create("agent"))["assistant_id"]
    assert (await anna.http.patch(f"/assistants/{own}", json={"context": servers})).status_code == 403
    root = person("root", permissions=("admin",))
    assert (await root.http.post("/assistants", json={"graph_id": "agent", "context": servers})).status_code == 200


async def test_two_users_at_once_never_see_each_others_rows(person: UserClientFactory) -> None:
    """Their requests alternate on the same pooled connections: what one has set there must not serve the other."""
    anna, mark = person("anna2", HARBOUR), person("mark2", MEADOW)
    threads = {one: [await one.thread() for _ in range(3)] for one in (anna, mark)}
    marks = {one: (await one.sdk.assistants.create("echo"))["assistant_id"] for one in (anna, mark)}
    synced = {anna: RESEARCHER, mark: EDITOR}

    async def look(one: UserClient, other: UserClient, number: int) -> None:
        mine, theirs = threads[one][number % 3], threads[other][number % 3]
        rows = (await one.http.post("/threads/search", json={"limit": 100})).json()
        assert {row["thread_id"] for row in rows} == set(threads[one])
        assert (await one.http.get(f"/threads/{mine}")).status_code == 200
        assert (await one.http.get(f"/threads/{theirs}")).status_code == 404
        assert (await one.http.patch(f"/threads/{theirs}", json={"metadata": {"x": 1}})).status_code == 404
        found = {row["assistant_id"] for row in (await one.http.post("/assistants/search", json={"limit": 100})).json()}
        assert {marks[one], synced[one]} <= found
        assert not {marks[other], synced[other]} & found
        assert (await one.http.get(f"/assistants/{synced[other]}")).status_code == 404
        assert (await one.http.post(f"/threads/{theirs}/runs", json={"assistant_id": "echo"})).status_code == 404

    for number in range(0, 30, 5):
        await asyncio.gather(
            *(look(*pair, number + each) for each in range(5) for pair in ((anna, mark), (mark, anna)))
        )
