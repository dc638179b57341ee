"""The catalogue's database is away, and the server's own is not: what was synced lately is served, and nothing is made
up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from catalogues.catalogue_writer import TABLES, CatalogueWriter
from databases import fresh_database
from servers.live_server import LiveServer, live_server, until

ASKED = {"messages": [{"role": "user", "content": "hello"}]}


class Outage:
    """The catalogue's database, which can be closed to everybody."""

    def __init__(self, url: str, postgres: asyncpg.Connection[Any]) -> None:
        self.url = url
        self._name = urlsplit(url).path[1:]
        self._postgres = postgres

    async def begin(self) -> None:
        await self._postgres.execute(f"alter database {self._name} allow_connections false")
        await self._postgres.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", self._name
        )

    async def end(self) -> None:
        await self._postgres.execute(f"alter database {self._name} allow_connections true")

    async def add_agent(self, **columns: Any) -> str:
        connection = await asyncpg.connect(self.url)
        try:
            return await CatalogueWriter(connection).add_agent(**columns)
        finally:
            await connection.close()


@pytest.fixture(scope="module")
async def outage(postgres: str) -> AsyncIterator[Outage]:
    async with fresh_database(postgres) as url:
        connection = await asyncpg.connect(url)
        await connection.execute(TABLES)
        await connection.close()
        admin = await asyncpg.connect(postgres)
        yield Outage(url, admin)
        await admin.close()


@pytest.fixture(scope="module")
async def apart(postgres: str, template: str, outage: Outage) -> AsyncIterator[LiveServer]:
    """A server whose catalogue is another database; a synced agent is fresh for 5 minutes, and served for an hour."""
    settings = {"CATALOGUE_DATABASE_URL": outage.url, "AGENT_SYNC_SCOPE": "all", "AGENT_SYNC_EVERY": "3600"}
    async with fresh_database(postgres, template) as url, live_server(url, **settings) as server:
        yield server


@pytest.fixture(scope="module")
async def http(apart: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    async with apart.http() as client:
        yield client


@pytest.fixture(scope="module")
async def own(apart: LiveServer) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(apart.database)
    yield connection
    await connection.close()


@pytest.fixture
async def synced(http: httpx.AsyncClient, outage: Outage) -> AsyncIterator[str]:
    """An agent that was synced; the catalogue is away now."""
    agent_id = await outage.add_agent(name="Synced")
    assert (await http.get(f"/assistants/{agent_id}")).status_code == 200
    await outage.begin()
    yield agent_id
    await outage.end()


async def looked_at(own: asyncpg.Connection[Any], agent_id: str, ago: str) -> None:
    query = "update agenthall.agent_sync set checked_at = now() - $2::text::interval where agent_id = $1"
    assert await own.execute(query, UUID(agent_id), ago) == "UPDATE 1"


def references(agent_id: str) -> list[tuple[str, str, Any]]:
    return [
        ("GET", f"/assistants/{agent_id}", None),
        ("POST", "/assistants", {"graph_id": "agent", "metadata": {"supabase_agent_id": agent_id}}),
        ("POST", "/assistants", {"graph_id": "agent", "assistant_id": agent_id}),
        ("POST", "/runs/wait", {"assistant_id": agent_id, "input": ASKED}),
    ]


async def test_what_was_synced_lately_is_served_as_it_is(
    http: httpx.AsyncClient, own: asyncpg.Connection[Any], synced: str
) -> None:
    await looked_at(own, synced, "59 minutes")
    for method, path, body in references(synced):
        answer = await http.request(method, path, json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json().get("name", "Synced") == "Synced"


async def test_what_was_synced_too_long_ago_is_503(
    http: httpx.AsyncClient, own: asyncpg.Connection[Any], synced: str
) -> None:
    async def is_stale() -> bool:  # the feed may have begun to sync the agent before the outage, and write it now
        await looked_at(own, synced, "61 minutes")
        return (await http.get(f"/assistants/{synced}")).status_code == 503

    await until(is_stale)
    for method, path, body in references(synced):
        answer = await http.request(method, path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (503, "catalogue_unavailable"), path


async def test_an_agent_whose_last_look_failed_is_503(
    http: httpx.AsyncClient, own: asyncpg.Connection[Any], synced: str
) -> None:
    await own.execute(
        "update agenthall.agent_sync set last_action = 'failed', failure = 'x' where agent_id = $1", UUID(synced)
    )
    assert (await http.get(f"/assistants/{synced}")).status_code == 503


async def test_an_unknown_agent_is_503_and_no_bare_assistant(
    http: httpx.AsyncClient, own: asyncpg.Connection[Any], synced: str
) -> None:
    unknown = uuid4()
    for method, path, body in references(str(unknown)):
        answer = await http.request(method, path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (503, "catalogue_unavailable"), path
    found = await own.fetchval("select count(*) from agenthall.assistants where assistant_id = $1", unknown)
    assert found == 0


async def test_the_status_says_that_the_catalogue_is_away(http: httpx.AsyncClient, synced: str) -> None:
    contract = (await http.get("/agents/sync")).json()["contract"]
    assert contract == {"reachable": False, "problems": ["The catalogue's database does not answer; try again"]}
    for body in ({}, {"dry_run": True}, {"agent_id": synced}):
        answer = await http.post("/agents/sync", json=body)
        assert (answer.status_code, answer.json()["code"]) == (503, "catalogue_unavailable")


async def test_after_the_outage_unknown_is_404_again(http: httpx.AsyncClient) -> None:
    async def is_404() -> bool:
        return (await http.get(f"/assistants/{uuid4()}")).status_code == 404

    await until(is_404)
