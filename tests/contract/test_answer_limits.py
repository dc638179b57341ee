"""Every list is refused with 413 when its answer is larger than AGENTHALL_MAX_ANSWER_BYTES, and a small page of it is
answered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from databases import fresh_database
from network.websocket_client import dial, expect_refused
from servers.live_server import LiveServer, live_server
from servers.sockets_process import SocketsProcess

from robyn_server.web.http.routing import Route
from robyn_server.web.routes import all_routes
from robyn_server.web.routes.server.system import system_routes

LIMIT = 65_536
ORGANIZATION = "00000000-0000-0000-0000-000000000007"
LONG = "x" * 20_000
ROWS = 5
ASSISTANT = "00000000-0000-0000-0000-000000000002"
THREAD = "00000000-0000-0000-0000-000000000001"


@dataclass(frozen=True)
class ListCase:
    """A list: the largest page that it has, and where the limit is sent."""

    largest: int
    path: str = ""
    body: dict[str, Any] | None = None


LISTS = {
    "POST /assistants/search": ListCase(1000, body={}),
    "POST /assistants/{assistant_id}/versions": ListCase(1000, path=f"/assistants/{ASSISTANT}/versions", body={}),
    "POST /threads/search": ListCase(1000, body={}),
    "GET /threads/{thread_id}/runs": ListCase(1000, path=f"/threads/{THREAD}/runs"),
    "GET /threads/{thread_id}/history": ListCase(100, path=f"/threads/{THREAD}/history"),
    "POST /threads/{thread_id}/history": ListCase(100, path=f"/threads/{THREAD}/history", body={}),
    "GET /runs": ListCase(100),
    "GET /agents/sync": ListCase(1000),
    "GET /agents/instances": ListCase(100),
    "GET /agents/manifests": ListCase(100),
    "GET /agents/configurations": ListCase(100),
    "GET /agents/brakes": ListCase(1000),
    "GET /agents/jobs": ListCase(100),
    "GET /keys": ListCase(1000),
    "POST /store/items/search": ListCase(1000, body={}),
    "POST /store/namespaces": ListCase(1000, body={}),
}
ONE_RESOURCE = {
    "POST /assistants",
    "GET /assistants/{assistant_id}",
    "PATCH /assistants/{assistant_id}",
    "POST /assistants/{assistant_id}/latest",
    "GET /assistants/{assistant_id}/graph",
    "GET /assistants/{assistant_id}/schemas",
    "GET /assistants/{assistant_id}/subgraphs",
    "GET /assistants/{assistant_id}/subgraphs/{namespace}",
    "POST /threads",
    "GET /threads/{thread_id}",
    "POST /threads/{thread_id}/copy",
    "PATCH /threads/{thread_id}",
    "GET /threads/{thread_id}/state",
    "GET /threads/{thread_id}/storage",
    "GET /threads/{thread_id}/state/{checkpoint_id}",
    "POST /threads/{thread_id}/state",
    "POST /threads/{thread_id}/state/checkpoint",
    "POST /threads/{thread_id}/runs",
    "POST /runs",
    "POST /runs/batch",
    "GET /threads/{thread_id}/runs/{run_id}",
    "GET /threads/{thread_id}/runs/{run_id}/timeline",
    "POST /agents/instances",
    "GET /agents/instances/{registration_id}",
    "POST /agents/instances/{registration_id}/heartbeat",
    "POST /agents/instances/{registration_id}/drain",
    "POST /agents/instances/{registration_id}/cordon",
    "POST /agents/instances/{registration_id}/uncordon",
    "PATCH /agents/instances/{registration_id}",
    "GET /agents/jobs/{job_id}",
    "POST /agents/jobs/{job_id}/accept",
    "POST /agents/jobs/{job_id}/reject",
    "POST /agents/jobs/{job_id}/events",
    "POST /agents/jobs/{job_id}/extend",
    "POST /agents/jobs/{job_id}/finish",
    "POST /agents/jobs/{job_id}/cancel",
    "GET /agents/manifests/{agent_id}",
    "PUT /agents/manifests/{agent_id}",
    "PATCH /agents/manifests/{agent_id}",
    "GET /agents/configurations/{agent_id}",
    "PUT /agents/configurations/{agent_id}",
    "PATCH /agents/configurations/{agent_id}",
    "POST /agents/tickets",
    "POST /keys",
    "POST /keys/{prefix}/rotate",
    "POST /connections",
    "POST /connections/callback",
    "GET /store/items",
}
BOUNDED_BY_ITSELF = {
    "POST /agents/sync": "at most 1,000 changes, without the agents' prompts",
    "POST /assistants/count": "a number",
    "POST /threads/count": "a number",
    "POST /threads/prune": "a number",
    "GET /agents/scaling": "at most 100 agents, of each an id and numbers",
    "GET /agents/instances/{registration_id}/history": "at most 100 entries, of each short texts",
    "GET /assistants/{assistant_id}/tools": "at most 1 MB of tools; servers and agents as the assistant has",
    "GET /audit": "at most 1,000 entries, of each ids and names of columns",
    "GET /connections": "at most 1,000, of each an id and URLs",
    "GET /connections/servers": "at most 1,000, of each a URL",
    "GET /connections/callback": "a page with a name and a URL",
    "GET /me": "operations are fixed; organizations are those of a token",
    "GET /doctor": "the checks are fixed, but for one of each graph",
    "GET /metrics": "the metrics are fixed",
    "GET /metrics/history": "at most 97 points of numbers",
    "GET /overview": "numbers, and one item for each process",
    "GET /": "health",
    "GET /ok": "health",
    "GET /livez": "health",
    "GET /info": "fixed",
    "GET /openapi.json": "the routes are fixed",
    "GET /docs": "the routes are fixed",
    "GET /console": "a file of the built console",
    "GET /docs/{file}": "a file of the package",
    "GET /console/{path}": "a file of the built console",
}


def _has_an_answer(route: Route) -> bool:
    """A stream is sent in parts. An answer with 204 is empty."""
    return not (route.not_built or route.streams or route.success == 204)


def test_every_answer_is_a_bounded_list_or_one_resource() -> None:
    """A new list belongs into LISTS, with a row of its own in `filled`."""
    routes = {f"{each.method} {each.path}" for each in (*all_routes(), *system_routes(None)) if _has_an_answer(each)}  # type: ignore[arg-type]
    assert routes == LISTS.keys() | ONE_RESOURCE | BOUNDED_BY_ITSELF.keys()
    assert not (LISTS.keys() & ONE_RESOURCE or ONE_RESOURCE & BOUNDED_BY_ITSELF.keys())


@pytest.fixture(scope="module")
async def limited(postgres: str, template: str) -> AsyncIterator[LiveServer]:
    async with (
        fresh_database(postgres, template) as url,
        live_server(url, AGENTHALL_MAX_ANSWER_BYTES=str(LIMIT)) as server,
    ):
        yield server


@pytest.fixture(scope="module")
async def filled(limited: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    """Rows of which each list has more than LIMIT bytes, and any two have less."""
    database = await asyncpg.connect(limited.database)
    async with limited.http(**{"X-Organization-Id": ORGANIZATION}) as http:
        await _fill_over_http(http)
        await database.execute("select pg_advisory_lock(7168880, 1)")  # no sweep releases the brakes
        await database.execute(_FILL)
        yield http
    await database.close()


async def _fill_over_http(http: httpx.AsyncClient) -> None:
    async def send(method: str, path: str, **body: Any) -> None:
        (await http.request(method, path, json=body)).raise_for_status()

    await send("POST", "/threads", thread_id=THREAD)
    await send("POST", "/assistants", graph_id="echo", assistant_id=ASSISTANT)
    for number in range(ROWS):
        await send("POST", "/threads", metadata={"long": LONG})
        await send("PATCH", f"/assistants/{ASSISTANT}", metadata={"long": f"{number}{LONG}"})
        await send("POST", "/assistants", graph_id="echo", metadata={"long": LONG})
        await send("POST", f"/threads/{THREAD}/runs/wait", assistant_id="echo", input={"text": LONG})
        agent = f"agent-{number}"
        await send("PUT", f"/agents/configurations/{agent}", configuration={"long": LONG})
        await send("POST", "/agents/instances", agent_id=agent, instance_id="one", connection_details={"long": LONG})
        await send("POST", "/keys", organizations=[f"{each:032x}" for each in range(1, 600)])


_FILL = f"""
insert into mcp.agent_manifests (agent_id, description, published)
select rpad('a-manifest-' || n, 128, 'x'), repeat('x', 8000), true from generate_series(100, 110) n;
insert into agenthall.agent_sync (agent_id, source, last_action, failure)
select lpad(to_hex(n), 32, '0')::uuid, 'catalogue', 'failed', '{LONG}' from generate_series(1, {ROWS}) n;
insert into agenthall.store_items (owner_id, namespace, key, value)
select 'local', array[rpad('long', 160, 'x')], n::text, '{{"long": "{LONG}"}}' from generate_series(1, {ROWS}) n;
insert into agenthall.store_items (owner_id, namespace, key, value)
select 'local', array[rpad('namespace-' || n, 200, 'x'), 'of a', 'user'], 'key', '{{}}' from generate_series(100, 500) n;
insert into mcp.agent_manifests (agent_id) select rpad('brake-' || n, 128, 'x') from generate_series(100, 500) n;
insert into mcp.agent_configurations (tenant_id, manifest_id, name)
select '{ORGANIZATION}', m.id, m.agent_id from mcp.agent_manifests m where m.agent_id like 'brake-%';
insert into mcp.agent_brakes (tenant_id, manifest_id, since, stale, total)
select c.tenant_id, c.manifest_id, now(), 1, 1 from mcp.agent_configurations c where c.name like 'brake-%';
insert into mcp.agent_jobs (id, tenant_id, manifest_id, agent_id, state, input, created_at, ended_at, error)
select gen_random_uuid(), c.tenant_id, c.manifest_id, c.agent_id, 'failed', '{{}}', now(), now(),
       '{{"error": "Long", "message": "{LONG}"}}'
  from mcp.agent_configurations c where c.agent_id like 'agent-%';
update mcp.agent_leases set lease_expires_at = now() + interval '1 hour';
"""


async def _ask(http: httpx.AsyncClient, name: str, limit: int, **more: Any) -> httpx.Response:
    case, (method, path) = LISTS[name], name.split()
    if case.body is None:
        return await http.request(method, case.path or path, params={"limit": limit, **more})
    return await http.request(method, case.path or path, json={**case.body, "limit": limit, **more})


@pytest.mark.parametrize("name", LISTS)
async def test_a_list_beyond_the_limit_is_refused_and_a_small_page_is_answered(
    filled: httpx.AsyncClient, name: str
) -> None:
    refused = await _ask(filled, name, LISTS[name].largest)
    assert (refused.status_code, refused.json()["code"]) == (413, "answer_too_large"), refused.text[:500]
    assert str(LIMIT) in refused.json()["detail"] and "`limit`" in refused.json()["detail"]
    answered = await _ask(filled, name, 1)
    assert answered.status_code == 200, answered.text
    assert LIMIT > len(answered.content) > 150


@pytest.mark.parametrize(
    ("name", "field"),
    [("POST /assistants/search", "assistant_id"), ("POST /threads/search", "thread_id")],
)
async def test_the_largest_page_of_few_fields_is_answered(filled: httpx.AsyncClient, name: str, field: str) -> None:
    answered = await _ask(filled, name, 1000, select=[field])
    assert answered.status_code == 200 and len(answered.json()) >= ROWS
    assert all(list(each) == [field] for each in answered.json())


async def test_the_largest_page_of_few_fields_of_runs_is_answered(filled: httpx.AsyncClient) -> None:
    answered = await filled.get(f"/threads/{THREAD}/runs", params={"limit": 1000, "select": "run_id"})
    assert [list(each) for each in answered.json()] == [["run_id"]] * ROWS


async def test_a_list_over_a_websocket_is_refused_too(
    filled: httpx.AsyncClient, limited: LiveServer, tmp_path: Path
) -> None:
    process = SocketsProcess(limited.environment, tmp_path / "sockets.log", AGENTHALL_DEV_TENANT=ORGANIZATION)
    try:
        await process.ready()
        async with dial(process.url) as socket:
            error = await expect_refused(socket.ask("agent.discover", limit=100))
            assert (error.code, error.reason) == (4005, "answer_too_large")
            assert len((await socket.ask("agent.discover", limit=1))["instances"]) == 1
    finally:
        process.kill()
        process.popen.wait()
