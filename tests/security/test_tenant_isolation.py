"""A tenant that names rows of another learns nothing about them and changes nothing, whatever it sends.

Once with the whole server, and once with a web process whose SQL has lost its predicates of tenancy, so that row-level
security alone must hold.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from itertools import islice
from pathlib import Path
from random import Random

import asyncpg
import httpx
import pytest
from databases import fresh_database
from servers.live_server import LiveServer, live_server
from servers.unguarded_server import without_predicates
from users.demo_users import HARBOUR, MEADOW, SECRET, bearer

from robyn_server.storage.postgres import queries
from robyn_server.web.http.routing import Route
from robyn_server.web.routes import all_routes

from .declared_answers import check_declared
from .long_version import times
from .plausible import PLAUSIBLE
from .tenants import SwappedRequest, Tenant, swapped_requests

UNGUARDED = str(Path(__file__).parents[1] / "support" / "servers" / "unguarded_server.py")
REQUESTS = times(250, long=5_000)
"""Of each tenant, with each of the two servers."""

pytestmark = pytest.mark.timeout(times(600, long=7200))


def _routes() -> list[Route]:
    return [route for route in all_routes() if not route.not_built and not route.public]


@contextlib.asynccontextmanager
async def _tenants(server: LiveServer) -> AsyncIterator[tuple[Tenant, Tenant]]:
    root = server.http(**bearer("root", permissions=("admin",)))
    harbour = Tenant(server.http(**bearer("ada", HARBOUR)), HARBOUR, "markofharbour", "noteofharbour")
    meadow = Tenant(server.http(**bearer("mia", MEADOW)), MEADOW, "markofmeadow", "noteofmeadow")
    async with root, harbour.http, meadow.http:
        for tenant in (harbour, meadow):
            await tenant.settle(root)
        yield harbour, meadow


@pytest.fixture(scope="module", params=["the whole server", "row-level security alone"])
async def server(request: pytest.FixtureRequest, postgres: str, template: str) -> AsyncIterator[LiveServer]:
    program = (UNGUARDED,) if request.param == "row-level security alone" else None
    settings = {"AUTH_MODE": "jwt", "AUTH_JWT_SECRET": SECRET}
    async with (
        fresh_database(postgres, template) as url,
        live_server(url, web_program=program, **settings) as running,
    ):
        yield running


@pytest.fixture(scope="module")
async def tenants(server: LiveServer) -> AsyncIterator[tuple[Tenant, Tenant]]:
    async with _tenants(server) as both:
        yield both


def test_the_predicates_that_are_removed_are_those_of_every_noun_of_a_tenant() -> None:
    removed = {noun: without_predicates(queries._read(noun))[1] for noun in queries.nouns()}
    for noun in (
        "threads",
        "runs/runs",
        "assistants",
        "store/items",
        "registry/instances/instances",
        "registry/configurations",
    ):
        assert removed[noun] > 0, noun
    assert without_predicates("where t.owner_id = :identity")[0] == "where (t.owner_id = :identity or true)"


async def test_ids_of_another_tenant_lead_nowhere(server: LiveServer, tenants: tuple[Tenant, Tenant]) -> None:
    for mine, theirs, seed in (*[(*tenants, 1)], (*reversed(tenants), 2)):
        before, chance = await theirs.seen(), Random(seed)
        for sent in islice(swapped_requests(_routes(), mine, theirs, PLAUSIBLE, chance), REQUESTS):
            status, text = await _answer(mine.http, sent)
            assert status < 500, (status, sent, text)
            for secret in (theirs.mark, *theirs.unnamed):
                assert secret not in text, (sent, text)
        assert await theirs.seen() == before
    server.check_alive()


async def _answer(http: httpx.AsyncClient, sent: SwappedRequest) -> tuple[int, str]:
    """The answer, which is as the OpenAPI document says. A stream of own events has no end, and is not read."""
    async with http.stream(sent.method, sent.path, json=sent.body, headers=sent.headers) as answer:
        if answer.headers.get("content-type", "").startswith("text/event-stream"):
            return answer.status_code, ""
        text = (await answer.aread()).decode()
        check_declared(sent.route, answer, text)
        return answer.status_code, text


_TABLES = """
select format('alter table %s no force row level security, disable row level security', c.oid::regclass) as statement
  from pg_class c
 where c.relrowsecurity and c.relnamespace in ('agenthall'::regnamespace, 'mcp'::regnamespace)"""


async def test_without_both_guards_rows_of_another_tenant_are_seen(postgres: str, template: str) -> None:
    """So the test above finds a leak, and the web process has lost its predicates."""
    settings = {"AUTH_MODE": "jwt", "AUTH_JWT_SECRET": SECRET}
    async with (
        fresh_database(postgres, template) as url,
        live_server(url, web_program=(UNGUARDED,), **settings) as server,
        _tenants(server) as (mine, theirs),
    ):
        owner = await asyncpg.connect(url)
        for row in await owner.fetch(_TABLES):
            await owner.execute(row["statement"])
        await owner.close()
        leaks = [path for path in theirs.paths() if theirs.mark in (await mine.http.get(path)).text]
        assert leaks == theirs.paths()
