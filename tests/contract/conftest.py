"""Two servers for these tests: one with AUTH_MODE=none, one with users, organizations and a catalogue."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeAlias

import asyncpg
import httpx
import orjson
import pytest
from catalogues.catalogue_writer import CatalogueWriter
from databases import fresh_database, prepared_database
from langgraph_sdk.client import LangGraphClient
from servers.live_server import GRAPHS, SAMPLES, LiveServer, live_server
from users.demo_users import HARBOUR, MEADOW, SECRET, bearer

from robyn_server.files import packaged

from .jobs.job_transports import JobDeployment, open_job_deployment

EXTRA_GRAPHS = {
    name: f"{SAMPLES}:{name}"
    for name in ("road", "family", "nested", "odd", "odd_end", "memory", "deliberate", "person")
}
UNUSED_URL = "http://127.0.0.1:9/mcp"
"""URL of the catalogue's tools. Nothing listens there."""

_SERVED = orjson.dumps(GRAPHS | EXTRA_GRAPHS).decode()


@pytest.fixture(scope="package")
async def server(postgres: str, template: str) -> AsyncIterator[LiveServer]:
    async with fresh_database(postgres, template) as url, live_server(url, AGENTHALL_GRAPHS=_SERVED) as running:
        yield running


@pytest.fixture(scope="package")
async def client(server: LiveServer) -> LangGraphClient:
    return server.sdk()


@pytest.fixture(scope="package")
async def http(server: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    async with server.http() as opened:
        yield opened


@pytest.fixture
async def thread(http: httpx.AsyncClient) -> str:
    """The id of a new thread."""
    return str((await http.post("/threads", json={})).json()["thread_id"])


@pytest.fixture(scope="package")
async def jwt_server(postgres: str, template: str) -> AsyncIterator[LiveServer]:
    """A server with AUTH_MODE=jwt and the demo catalogue. An agent counts as fresh for a second."""
    settings = {
        "AUTH_MODE": "jwt",
        "AUTH_JWT_SECRET": SECRET,
        "AGENT_SYNC_SCOPE": "all",
        "AGENT_SYNC_CACHE_TTL": "1",
        "AGENTHALL_GRAPHS": _SERVED,
    }
    async with (
        prepared_database(postgres, template, demo_catalogue()) as url,
        live_server(url, **settings) as running,
    ):
        yield running


def demo_catalogue() -> str:
    text = (packaged("demo") / "catalogue.sql").read_text()
    for name in ("legal_mcp_url", "documents_mcp_url"):
        text = text.replace(f":'{name}'", f"'{UNUSED_URL}'")
    return text


@pytest.fixture(scope="package")
async def catalogue(jwt_server: LiveServer) -> AsyncIterator[asyncpg.Connection]:
    """A connection with the rights of the catalogue's owner."""
    connection = await asyncpg.connect(jwt_server.database)
    yield connection
    await connection.close()


class UserClient:
    """A user with an HTTP client and an SDK client."""

    def __init__(self, server: LiveServer, headers: dict[str, str]) -> None:
        self.http = server.http(**headers)
        self.sdk = server.sdk(**headers)

    async def thread(self) -> str:
        return str((await self.http.post("/threads", json={})).raise_for_status().json()["thread_id"])

    async def has_status(self, thread_id: str, run_id: str, status: str) -> bool:
        return (await self.sdk.runs.get(thread_id, run_id))["status"] == status


UserClientFactory: TypeAlias = Callable[..., UserClient]
"""Called with a user, organizations and claims."""


@pytest.fixture(scope="package")
async def person(jwt_server: LiveServer) -> AsyncIterator[UserClientFactory]:
    """`person(user, *organizations, **claims)` creates a UserClient."""
    async with user_clients(jwt_server) as make:
        yield make


@contextlib.asynccontextmanager
async def user_clients(server: LiveServer) -> AsyncIterator[UserClientFactory]:
    """Yield a factory of UserClients. `headers` are sent with each request."""
    async with contextlib.AsyncExitStack() as closing:

        def make(user: str, *organizations: str, headers: dict[str, str] | None = None, **claims: object) -> UserClient:
            person = UserClient(server, bearer(user, *organizations, **claims) | (headers or {}))
            closing.push_async_callback(person.http.aclose)
            return person

        yield make


# A module that defines a fixture `product_server`, with a product's catalogue in its database, can use these.


@pytest.fixture(scope="module")
async def product_database(product_server: LiveServer) -> AsyncIterator[asyncpg.Connection[Any]]:
    """A connection to the product's database."""
    connection = await asyncpg.connect(product_server.database)
    yield connection
    await connection.close()


@pytest.fixture(scope="module")
def catalogue_writer(product_database: asyncpg.Connection[Any]) -> CatalogueWriter:
    return CatalogueWriter(product_database)


@pytest.fixture(scope="module")
async def user(product_server: LiveServer) -> AsyncIterator[UserClientFactory]:
    """`user(name, *organizations, **claims)` creates a UserClient."""
    async with user_clients(product_server) as make:
        yield make


@pytest.fixture(scope="module")
def anna(user: UserClientFactory) -> UserClient:
    return user("anna", HARBOUR)


@pytest.fixture(scope="module")
def admin(user: UserClientFactory) -> UserClient:
    return user("root", permissions=("admin",))


# Clients of `jwt_server` for the agent registry.


@pytest.fixture(scope="package")
async def clients(jwt_server: LiveServer) -> AsyncIterator[dict[str, httpx.AsyncClient]]:
    headers = {
        "ada": bearer("ada", HARBOUR),
        "mia": bearer("mia", MEADOW),
        "both": bearer("both", HARBOUR, MEADOW),
        "root": bearer("root", permissions=("admin",)),
    }
    opened = {name: jwt_server.http(**each) for name, each in headers.items()}
    yield opened
    for client in opened.values():
        await client.aclose()


@pytest.fixture(scope="package")
def ada(clients: dict[str, httpx.AsyncClient]) -> httpx.AsyncClient:
    return clients["ada"]


@pytest.fixture(scope="package")
def mia(clients: dict[str, httpx.AsyncClient]) -> httpx.AsyncClient:
    return clients["mia"]


@pytest.fixture(scope="package")
def root(clients: dict[str, httpx.AsyncClient]) -> httpx.AsyncClient:
    return clients["root"]


@pytest.fixture(scope="module")
async def job_deployment(
    postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[JobDeployment]:
    async with open_job_deployment(postgres, template, tmp_path_factory.mktemp("jobs")) as opened:
        yield opened
