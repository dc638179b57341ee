"""Two servers for the whole folder: one for everybody (AUTH_MODE=none), one with users, organisations and a catalogue."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeAlias

import asyncpg
import httpx
import orjson
import pytest
from databases import fresh_database, prepared_database
from langgraph_sdk.client import LangGraphClient
from live_server import GRAPHS, TESTS, LiveServer, live_server

from robyn_server.files import packaged

from .people import HARBOUR, MEADOW, SECRET, bearer
from .product import Catalogue

sys.path.insert(0, str(TESTS / "sockets"))

MORE = {name: f"{TESTS / 'sample_graphs.py'}:{name}" for name in ("road", "family", "odd")}
NOBODY = "http://127.0.0.1:9/mcp"
"""Where the catalogue's tools are said to be: nothing listens there."""

_SERVED = orjson.dumps(GRAPHS | MORE).decode()


@pytest.fixture(scope="session")
async def server(postgres: str, template: str) -> AsyncIterator[LiveServer]:
    async with fresh_database(postgres, template) as url, live_server(url, AGENTHALL_GRAPHS=_SERVED) as running:
        yield running


@pytest.fixture(scope="session")
async def client(server: LiveServer) -> LangGraphClient:
    return server.sdk()


@pytest.fixture(scope="session")
async def http(server: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    async with server.http() as opened:
        yield opened


@pytest.fixture
async def thread(http: httpx.AsyncClient) -> str:
    """The id of a new thread."""
    return str((await http.post("/threads", json={})).json()["thread_id"])


@pytest.fixture(scope="session")
async def guarded(postgres: str, template: str) -> AsyncIterator[LiveServer]:
    """AUTH_MODE=jwt, with the demo's catalogue; an agent counts as fresh for a second."""
    settings = {
        "AUTH_MODE": "jwt",
        "AUTH_JWT_SECRET": SECRET,
        "AGENT_SYNC_SCOPE": "all",
        "AGENT_SYNC_CACHE_TTL": "1",
        "AGENTHALL_GRAPHS": _SERVED,
    }
    async with (
        prepared_database(postgres, template, _catalogue()) as url,
        live_server(url, **settings) as running,
    ):
        yield running


def _catalogue() -> str:
    text = (packaged("demo") / "catalogue.sql").read_text()
    for name in ("legal_mcp_url", "documents_mcp_url"):
        text = text.replace(f":'{name}'", f"'{NOBODY}'")
    return text


@pytest.fixture(scope="session")
async def catalogue(guarded: LiveServer) -> AsyncIterator[asyncpg.Connection]:
    """The catalogue's owner, at a psql of theirs."""
    connection = await asyncpg.connect(guarded.database)
    yield connection
    await connection.close()


class Person:
    """A user of the guarded server: raw HTTP, and the SDK."""

    def __init__(self, server: LiveServer, headers: dict[str, str]) -> None:
        self.http = server.http(**headers)
        self.sdk = server.sdk(**headers)

    async def thread(self) -> str:
        return str((await self.http.post("/threads", json={})).raise_for_status().json()["thread_id"])


Make: TypeAlias = Callable[..., Person]
"""Of a user, organisations and claims."""


@pytest.fixture(scope="session")
async def person(guarded: LiveServer) -> AsyncIterator[Make]:
    """`person(user, *organizations, **claims)` makes a Person."""
    async with people_of(guarded) as make:
        yield make


@contextlib.asynccontextmanager
async def people_of(server: LiveServer) -> AsyncIterator[Make]:
    """What makes a Person, by user, organisations and claims; `headers` go with what each asks."""
    async with contextlib.AsyncExitStack() as closing:

        def make(user: str, *organizations: str, headers: dict[str, str] | None = None, **claims: object) -> Person:
            person = Person(server, bearer(user, *organizations, **claims) | (headers or {}))
            closing.push_async_callback(person.http.aclose)
            return person

        yield make


# A module with a server of its own beside a product's catalogue names it `product_server`, and then has these.


@pytest.fixture(scope="module")
async def product(product_server: LiveServer) -> AsyncIterator[asyncpg.Connection[Any]]:
    """The product at its database."""
    connection = await asyncpg.connect(product_server.database)
    yield connection
    await connection.close()


@pytest.fixture(scope="module")
def rows(product: asyncpg.Connection[Any]) -> Catalogue:
    return Catalogue(product)


@pytest.fixture(scope="module")
async def user(product_server: LiveServer) -> AsyncIterator[Make]:
    """`user(name, *organizations, **claims)` makes a Person."""
    async with people_of(product_server) as make:
        yield make


@pytest.fixture(scope="module")
def anna(user: Make) -> Person:
    return user("anna", HARBOUR)


@pytest.fixture(scope="module")
def admin(user: Make) -> Person:
    return user("root", permissions=("admin",))


# Who asks for agents that run elsewhere, of the guarded server.


@pytest.fixture(scope="session")
async def clients(guarded: LiveServer) -> AsyncIterator[dict[str, httpx.AsyncClient]]:
    headers = {
        "ada": bearer("ada", HARBOUR),
        "mia": bearer("mia", MEADOW),
        "both": bearer("both", HARBOUR, MEADOW),
        "root": bearer("root", permissions=("admin",)),
    }
    opened = {name: guarded.http(**each) for name, each in headers.items()}
    yield opened
    for client in opened.values():
        await client.aclose()


@pytest.fixture(scope="session")
def ada(clients: dict[str, httpx.AsyncClient]) -> httpx.AsyncClient:
    return clients["ada"]


@pytest.fixture(scope="session")
def mia(clients: dict[str, httpx.AsyncClient]) -> httpx.AsyncClient:
    return clients["mia"]


@pytest.fixture(scope="session")
def root(clients: dict[str, httpx.AsyncClient]) -> httpx.AsyncClient:
    return clients["root"]
