"""Projects whose handlers authenticate only, or decide everything in one function."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from databases import fresh_database
from langgraph_sdk.errors import NotFoundError, PermissionDeniedError
from servers.live_server import GRAPHS, SAMPLES, LiveServer, live_server, until

PROJECTS = SAMPLES.parent / "auth_projects"
SERVED = json.dumps(GRAPHS | {"whoami": f"{SAMPLES}:whoami"})


@pytest.fixture(scope="module")
async def owners(postgres: str, template: str) -> AsyncIterator[LiveServer]:
    settings = {"AGENTHALL_AUTH": f"{PROJECTS / 'owners.py'}:auth", "AGENTHALL_GRAPHS": SERVED, "AUTH_MODE": "keys"}
    async with fresh_database(postgres, template) as url, live_server(url, **settings) as running:
        yield running


@pytest.fixture(scope="module")
async def stamping(postgres: str, template: str) -> AsyncIterator[LiveServer]:
    settings = {"AGENTHALL_AUTH": f"{PROJECTS / 'stamping.py'}:auth", "AGENTHALL_GRAPHS": SERVED}
    async with fresh_database(postgres, template) as url, live_server(url, **settings) as running:
        yield running


async def test_without_a_rule_each_user_has_their_own_rows(owners: LiveServer) -> None:
    ada, bob = owners.sdk(**{"x-name": "ada"}), owners.sdk(**{"x-name": "bob"})
    thread_id = (await ada.threads.create())["thread_id"]
    assert await ada.runs.wait(thread_id, "echo", input={"text": 1}) == {"text": 1}
    assistant_id = (await ada.assistants.create("echo"))["assistant_id"]
    await ada.store.put_item(["notes"], "first", {"by": "ada"})
    for call in (bob.threads.get(thread_id), bob.runs.list(thread_id), bob.assistants.get(assistant_id)):
        with pytest.raises(NotFoundError):
            await call
    assert await bob.threads.search() == []
    assert await bob.threads.count() == 0
    assert await bob.store.get_item(["notes"], "first") is None
    assert [each["thread_id"] for each in await ada.threads.search()] == [thread_id]
    found = {each["assistant_id"] for each in await ada.assistants.search(limit=100)}
    assert assistant_id in found and len(found) == await ada.assistants.count() > 1, "the default ones are for everyone"
    seen = await ada.runs.wait(None, "whoami", input={})
    assert (seen["user"]["display_name"], seen["user"]["team"], seen["item"]) == ("Ada", "none", None)
    copied = await ada.threads.copy(thread_id)
    assert copied is None or copied["values"] == {"text": 1}
    with pytest.raises(PermissionDeniedError):
        await bob.assistants.update(min(found - {assistant_id}), name="mine")


async def test_credentials_of_the_server_open_only_its_own_routes(owners: LiveServer) -> None:
    async with owners.http() as http:
        assert (await http.post("/threads", json={})).status_code == 401
        assert (await http.get("/agents/instances")).status_code == 401
    async with owners.http(**{"x-name": "ada"}) as http:
        assert (await http.get("/agents/instances")).status_code == 401, "the registry asks for a key"
    async with owners.http(**{"x-api-key": "ahk_anything", "x-name": "ada"}) as http:
        assert (await http.post("/threads", json={})).status_code == 200, "the handler alone decides"


async def test_a_synchronous_handler_that_blocks_delays_nobody_else(owners: LiveServer) -> None:
    async with owners.http(**{"x-name": "block"}) as blocked, owners.http(**{"x-name": "ada"}) as http:
        waiting = asyncio.create_task(blocked.get("/threads/x"))
        for _ in range(5):
            assert (await http.post("/threads/search", json={})).status_code == 200
        assert (await waiting).status_code == 503


async def test_a_global_handler_stamps_and_filters(stamping: LiveServer) -> None:
    ada, bob = stamping.sdk(**{"x-name": "ada"}), stamping.sdk(**{"x-name": "bob"})
    thread_id = (await ada.threads.create(metadata={"owner": "bob"}))["thread_id"]
    assert (await ada.threads.get(thread_id))["metadata"] == {"owner": "ada"}
    assert await ada.runs.wait(thread_id, "echo", input={"text": 1}) == {"text": 1}, "default assistants can be run"
    assert await ada.runs.wait(None, "echo", input={"text": 1}) == {"text": 1}
    await ada.threads.update(thread_id, metadata={"owner": "bob", "a": 1})
    assert (await ada.threads.get(thread_id))["metadata"]["owner"] == "ada"
    await ada.threads.update_state(thread_id, {"text": 2})
    copied = await ada.threads.copy(thread_id)
    assert copied is None or copied["metadata"]["owner"] == "ada"
    assistant = await ada.assistants.create("echo", metadata={"owner": "bob"})
    assert assistant["metadata"]["owner"] == "ada"
    with pytest.raises(NotFoundError):
        await bob.threads.get(thread_id)
    assert await bob.threads.search() == []
    await ada.assistants.delete(assistant["assistant_id"], delete_threads=True)
    await ada.threads.delete(thread_id)


async def test_a_row_that_its_creator_could_not_see_is_not_created(stamping: LiveServer) -> None:
    """Without this, a client could plant rows with another's name among theirs."""
    async with stamping.http(**{"x-name": "ada", "x-plain": "1"}) as http:
        for path, body in (
            ("/threads", {"metadata": {"owner": "bob"}}),
            ("/threads", {}),
            ("/assistants", {"graph_id": "echo", "metadata": {"owner": "bob"}}),
            ("/runs", {"assistant_id": "echo", "metadata": {"owner": "bob"}}),
            (f"/threads/{uuid4()}/runs", {"assistant_id": "echo", "if_not_exists": "create"}),
        ):
            answer = await http.post(path, json=body)
            assert (answer.status_code, answer.json()["code"]) == (403, "metadata_not_granted"), path
    assert await stamping.sdk(**{"x-name": "bob"}).threads.search() == []


async def test_a_filter_for_the_store_is_refused_rather_than_ignored(stamping: LiveServer) -> None:
    async with stamping.http(**{"x-name": "ada"}) as http:
        answer = await http.put("/store/items", json={"namespace": ["x"], "key": "k", "value": {}})
    assert (answer.status_code, answer.json()["code"]) == (500, "auth_handler_failed")
    await until(lambda: "value['namespace']" in stamping.webs[0].read_log())


async def test_a_change_that_cannot_be_executed_is_refused(stamping: LiveServer) -> None:
    ada = stamping.sdk(**{"x-name": "ada"})
    thread_id = (await ada.threads.create())["thread_id"]
    refused: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", "thread_id", {}),
        ("PATCH", "metadata", {"metadata": {}}),
    ]
    for method, moved, body in refused:
        async with stamping.http(**{"x-name": "ada", "x-moves": moved}) as http:
            answer: httpx.Response = await http.request(method, f"/threads/{thread_id}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (500, "auth_handler_failed"), moved
    assert (await ada.threads.get(thread_id))["metadata"] == {"owner": "ada"}
