"""A FastAPI app of a project: its routes answer, and `/openapi.json` describes them as they answer."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from databases import fresh_database
from servers.live_server import SAMPLES, LiveServer, live_server

APPS = SAMPLES.with_name("http_apps")


@pytest.fixture(scope="module")
async def server(postgres: str, template: str) -> AsyncIterator[LiveServer]:
    settings = {"AGENTHALL_HTTP_APP": f"{APPS / 'fastapi_app.py'}:app"}
    async with fresh_database(postgres, template) as url, live_server(url, **settings) as running:
        yield running


@pytest.fixture
async def http(server: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    async with server.http() as opened:
        yield opened


async def test_the_document_describes_the_routes_that_answer(http: httpx.AsyncClient) -> None:
    document = (await http.get("/openapi.json")).json()
    assert document["info"]["title"] == "Agenthall"
    assert {*document["paths"]["/threads/{thread}/title"]} == {"put"}
    titled = await http.put("/threads/t/title", json={"text": "Rent"})
    assert titled.json() == {"text": "t: Rent", "problems": []}
    assert (await http.get("/threads/t")).json() == {"text": "t", "problems": []}
    assert (await http.get("/guarded")).status_code == 401
    assert (await http.get("/ok")).json()["ok"] is True


async def test_the_document_is_the_same_each_time(http: httpx.AsyncClient) -> None:
    first, second = [(await http.get("/openapi.json")).content for _ in range(2)]
    assert first == second
