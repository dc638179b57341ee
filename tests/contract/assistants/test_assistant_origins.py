"""Assistants of different origins over HTTP: an agent of the catalogue never takes one, and clients never delete an
agent's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from catalogues.catalogue_writer import TABLES, CatalogueWriter
from databases import prepared_database
from servers.live_server import LiveServer, live_server, until
from users.demo_users import SECRET, bearer

from robyn_server.core.ids import default_assistant_id

HARBOUR, MEADOW = str(uuid4()), str(uuid4())
DEFAULT = default_assistant_id("echo")
INPUT = {"text": "hello"}


@pytest.fixture(scope="module", params=["all", "none"])
async def product_server(request: Any, postgres: str, template: str) -> AsyncIterator[LiveServer]:
    settings = {"AUTH_MODE": "jwt", "AUTH_JWT_SECRET": SECRET, "AGENT_SYNC_EVERY": "3600"}
    async with (
        prepared_database(postgres, template, TABLES) as url,
        live_server(url, AGENT_SYNC_SCOPE=request.param, **settings) as server,
    ):
        yield server


@pytest.fixture
async def product_database(product_server: LiveServer) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(product_server.environment["DATABASE_URL"])
    yield connection
    await connection.close()


@pytest.fixture
async def writer(product_database: asyncpg.Connection[Any]) -> CatalogueWriter:
    return CatalogueWriter(product_database)


@pytest.fixture
async def anna(product_server: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    async with product_server.http(**bearer("anna", HARBOUR)) as client:
        yield client


@pytest.fixture
async def admin(product_server: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    async with product_server.http(**bearer("root", permissions=("admin",))) as client:
        yield client


async def sync(admin: httpx.AsyncClient, agent_id: str | UUID) -> dict[str, Any]:
    answer = await admin.post("/agents/sync", json={"agent_id": str(agent_id)})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def insert_with_id(writer: CatalogueWriter, database: asyncpg.Connection[Any], agent_id: UUID | str) -> None:
    made = await writer.add_agent(name="Secret", organization_id=UUID(MEADOW), system_prompt="TOP SECRET")
    await database.execute("update public.agents set id = $2 where id = $1", UUID(made), UUID(str(agent_id)))


async def test_an_agent_with_the_id_of_a_default_assistant_is_a_failure(
    anna: httpx.AsyncClient,
    admin: httpx.AsyncClient,
    writer: CatalogueWriter,
    product_database: asyncpg.Connection[Any],
) -> None:
    before = (await anna.get(f"/assistants/{DEFAULT}")).json()
    await insert_with_id(writer, product_database, DEFAULT)
    report = await sync(admin, DEFAULT)
    assert [change["action"] for change in report["changes"]] == ["failed"]
    assert "the default assistant of a graph has this id" in report["changes"][0]["reason"]
    created = await anna.post("/assistants", json={"assistant_id": str(DEFAULT), "graph_id": "echo"})
    assert created.status_code == 409
    for named in (DEFAULT, uuid4()):
        answer = await anna.post(
            "/assistants", json={"graph_id": "echo", "metadata": {"supabase_agent_id": str(named)}}
        )
        assert answer.status_code == (409 if named == DEFAULT else 404)
    assert (await anna.get(f"/assistants/{DEFAULT}")).json() == before
    await product_database.execute("delete from public.agents where id = $1", DEFAULT)
    await admin.post("/agents/sync", json={"agent_id": str(DEFAULT)})
    for name in ("echo", str(DEFAULT)):
        answer = await anna.post("/runs/wait", json={"assistant_id": name, "input": INPUT})
        assert answer.status_code == 200, answer.text
        assert "TOP SECRET" not in answer.text


async def test_an_agent_with_the_id_of_a_clients_assistant_is_a_failure_with_the_right_answer(
    anna: httpx.AsyncClient,
    admin: httpx.AsyncClient,
    writer: CatalogueWriter,
    product_database: asyncpg.Connection[Any],
) -> None:
    mine = (await anna.post("/assistants", json={"graph_id": "echo", "name": "Mine"})).json()
    await insert_with_id(writer, product_database, mine["assistant_id"])
    assert [change["action"] for change in (await sync(admin, mine["assistant_id"]))["changes"]] == ["failed"]
    for client in (anna, admin):
        named = await client.post(
            "/assistants", json={"graph_id": "echo", "metadata": {"supabase_agent_id": mine["assistant_id"]}}
        )
        assert named.status_code == 409, "it is there, and its id is taken"
    same = await anna.post(
        "/assistants", json={"graph_id": "echo", "assistant_id": mine["assistant_id"], "if_exists": "do_nothing"}
    )
    assert (same.status_code, same.json()["name"]) == (200, "Mine")
    assert (await anna.get(f"/assistants/{mine['assistant_id']}")).json() == mine


@pytest.mark.parametrize("with_threads", [False, True])
async def test_nobody_deletes_an_agent_that_is_out_of_service(
    anna: httpx.AsyncClient,
    admin: httpx.AsyncClient,
    writer: CatalogueWriter,
    product_database: asyncpg.Connection[Any],
    with_threads: bool,
) -> None:
    agent_id = await writer.add_agent(organization_id=UUID(HARBOUR), graph_id="echo")
    assert (await anna.get(f"/assistants/{agent_id}")).status_code == 200
    thread = (await anna.post("/threads", json={})).json()["thread_id"]
    done = await anna.post(f"/threads/{thread}/runs/wait", json={"assistant_id": agent_id, "input": INPUT})
    assert done.status_code == 200, done.text
    changed = await admin.patch(f"/assistants/{agent_id}", json={"metadata": {"note": "of members"}})
    assert changed.status_code == 200, changed.text
    delete = f"/assistants/{agent_id}?delete_threads={str(with_threads).lower()}"
    assert (await admin.delete(delete)).status_code == 409
    await product_database.execute("update public.agents set status = 'disabled' where id = $1", UUID(agent_id))
    await until(lambda: _is_gone(admin, agent_id))
    for client in (anna, admin):
        assert (await client.delete(delete)).status_code == 404
    assert (await anna.get(f"/threads/{thread}")).status_code == 200
    await product_database.execute("update public.agents set status = 'active' where id = $1", UUID(agent_id))
    await sync(admin, agent_id)
    back = (await anna.get(f"/assistants/{agent_id}")).json()
    assert (back["metadata"]["note"], back["version"] > changed.json()["version"]) == ("of members", True)


async def test_the_versions_that_an_agent_had_in_another_organization_stay_there(
    anna: httpx.AsyncClient,
    admin: httpx.AsyncClient,
    product_server: LiveServer,
    writer: CatalogueWriter,
    product_database: asyncpg.Connection[Any],
) -> None:
    agent_id = await writer.add_agent(organization_id=UUID(HARBOUR), graph_id="echo", system_prompt="of Harbour")
    assert [each["version"] for each in (await anna.post(f"/assistants/{agent_id}/versions", json={})).json()] == [1]
    await product_database.execute(
        "update public.agents set organization_id = $2, system_prompt = 'of Meadow' where id = $1",
        UUID(agent_id),
        UUID(MEADOW),
    )
    await sync(admin, agent_id)
    assert (await anna.post(f"/assistants/{agent_id}/versions", json={})).status_code == 404
    async with product_server.http(**bearer("mia", MEADOW)) as mia:
        seen = (await mia.post(f"/assistants/{agent_id}/versions", json={})).text
    assert "of Meadow" in seen and "of Harbour" not in seen
    assert "of Harbour" in (await admin.post(f"/assistants/{agent_id}/versions", json={})).text


async def _is_gone(client: httpx.AsyncClient, agent_id: str) -> bool:
    await client.post("/agents/sync", json={"agent_id": agent_id})
    return (await client.get(f"/assistants/{agent_id}")).status_code == 404


async def test_a_default_assistant_keeps_its_graph(admin: httpx.AsyncClient) -> None:
    answer = await admin.patch(f"/assistants/{DEFAULT}", json={"graph_id": "counter"})
    assert (answer.status_code, answer.json()["field"]) == (409, "graph_id")
    assert (await admin.patch(f"/assistants/{DEFAULT}", json={"graph_id": "echo"})).status_code == 200
