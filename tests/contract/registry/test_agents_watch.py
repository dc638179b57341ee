"""GET /agents/watch: list, then watch, leave, come back, and miss nothing."""

from __future__ import annotations

import asyncio
import signal
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from databases import fresh_database
from deadlines import DEADLINE
from network.sse_client import EventReader, open_stream
from servers.live_server import LiveServer, live_server
from users.demo_users import HARBOUR, MEADOW

PATH = "/agents/watch"


@pytest.fixture
def tenant() -> dict[str, str]:
    """A header that names an organization of the test's own."""
    return {"x-organization-id": str(uuid4())}


async def _register(http: httpx.AsyncClient, tenant: dict[str, str], instance_id: str, **more: Any) -> dict[str, Any]:
    body = {"agent_id": "watched-agent", "instance_id": instance_id, **more}
    answer = await http.post("/agents/instances", json=body, headers=tenant)
    assert answer.status_code in (200, 201), answer.text
    found: dict[str, Any] = answer.json()
    return found


async def _next(stream: EventReader) -> Any:
    async with asyncio.timeout(DEADLINE):
        event = await stream.next()
    assert event is not None
    return event


async def test_a_stream_begins_with_its_position_and_tells_each_change(
    http: httpx.AsyncClient, tenant: dict[str, str]
) -> None:
    async with open_stream(http, "GET", PATH, headers=tenant) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        first = await _next(stream)
        assert (first.name, first.id) == ("watching", str(first.data["position"]))
        registered = await _register(http, tenant, "one", capabilities=["search"])
        event = await _next(stream)
    assert (event.name, event.data["kind"], event.id) == ("instance", "registered", str(event.data["position"]))
    assert event.data["registration_id"] == registered["registration_id"]
    shown = (await http.get(f"/agents/instances/{registered['registration_id']}", headers=tenant)).json()
    assert {name: event.data["instance"].get(name) for name in shown} == shown


async def test_who_comes_back_with_the_last_id_goes_on_behind_it(
    http: httpx.AsyncClient, tenant: dict[str, str]
) -> None:
    async with open_stream(http, "GET", PATH, headers=tenant) as stream:
        await _next(stream)
        await _register(http, tenant, "one")
        last = (await _next(stream)).id
    await _register(http, tenant, "two")
    await _register(http, tenant, "three")
    for headers, params in (({"last-event-id": last}, {"after": "0"}), ({}, {"after": last})):
        async with open_stream(http, "GET", PATH, headers=tenant | headers, params=params) as stream:
            events = [await _next(stream) for _ in range(3)]
            assert [event.data["instance"]["instance_id"] for event in events[1:]] == ["two", "three"]


async def test_a_list_names_the_position_to_watch_from(http: httpx.AsyncClient, tenant: dict[str, str]) -> None:
    await _register(http, tenant, "one")
    listed = (await http.get("/agents/instances", headers=tenant)).json()
    await _register(http, tenant, "two")
    async with open_stream(http, "GET", PATH, headers=tenant, params={"after": str(listed["position"])}) as stream:
        seen = {each["instance_id"] for each in listed["instances"]}
        await _next(stream)
        while "two" not in seen:
            seen.add((await _next(stream)).data["instance"]["instance_id"])
    assert seen == {"one", "two"}


async def test_by_agent_and_capability(http: httpx.AsyncClient, tenant: dict[str, str]) -> None:
    params = [("agent_id", "watched-agent"), ("capability", "a"), ("capability", "b")]
    async with open_stream(http, "GET", PATH, headers=tenant, params=params) as stream:
        await _next(stream)
        await _register(http, tenant, "one", capabilities=["a"])
        await _register(http, tenant, "two", capabilities=["b", "a"])
        assert (await _next(stream)).data["instance"]["instance_id"] == "two"


async def test_events_that_are_gone_are_told_with_where_to_go_on(
    server: LiveServer, http: httpx.AsyncClient, tenant: dict[str, str]
) -> None:
    await _register(http, tenant, "one")
    async with open_stream(http, "GET", PATH, headers=tenant, params={"after": str(2**62)}) as stream:
        (event,) = await stream.read_rest()
    assert (event.name, event.id) == ("compacted", str(event.data["position"]))
    async with open_stream(http, "GET", PATH, headers=tenant | {"last-event-id": event.id}) as stream:
        assert (await _next(stream)).name == "watching"


@pytest.mark.parametrize(
    ("headers", "params"),
    [
        ({}, {"health": "healthy"}),
        ({}, {"capabilty": "a"}),
        ({}, {"after": "-1"}),
        ({}, {"after": "soon"}),
        ({"last-event-id": "1-0"}, {}),
        ({"last-event-id": "9" * 5000}, {}),
    ],
)
async def test_what_is_not_understood_is_refused(
    http: httpx.AsyncClient, tenant: dict[str, str], headers: dict[str, str], params: dict[str, str]
) -> None:
    answer = await http.get(PATH, headers=tenant | headers, params=params)
    assert answer.status_code in (400, 422), answer.text


async def test_who_belongs_to_many_must_say_for_which_it_watches(http: httpx.AsyncClient) -> None:
    answer = await http.get(PATH)
    assert (answer.status_code, answer.json()["code"]) == (400, "organization_required")


async def test_another_organization_s_instances_are_not_told(person: Any) -> None:
    harbour, meadow = person("hanna", HARBOUR), person("mika", MEADOW)
    async with open_stream(harbour.http, "GET", PATH) as stream:
        await _next(stream)
        await _register(meadow.http, {}, "theirs")
        await _register(harbour.http, {}, "ours")
        event = await _next(stream)
    assert (event.data["tenant_id"], event.data["instance"]["instance_id"]) == (HARBOUR, "ours")
    refused = await harbour.http.get(PATH, headers={"x-organization-id": MEADOW})
    assert refused.status_code == 403


async def test_readiness_tells_that_the_registry_works_and_not_what_is_in_it(
    http: httpx.AsyncClient, tenant: dict[str, str]
) -> None:
    await _register(http, tenant, "one")
    assert (await http.get("/ok")).json()["services"]["registry"] == {"ok": True}


async def test_a_server_that_drains_ends_the_stream_and_another_goes_on(postgres: str, template: str) -> None:
    tenant = {"x-organization-id": str(uuid4())}
    async with fresh_database(postgres, template) as url:
        async with live_server(url) as first:
            async with first.http() as http, open_stream(http, "GET", PATH, headers=tenant) as stream:
                await _next(stream)
                await _register(http, tenant, "one")
                last = (await _next(stream)).id
                first.webs[0].kill(signal.SIGTERM)
                assert await stream.read_rest() == []
            assert await first.webs[0].ended() == 0
        async with live_server(url) as second, second.http() as http:
            await _register(http, tenant, "two")
            async with open_stream(http, "GET", PATH, headers=tenant | {"last-event-id": last}) as stream:
                await _next(stream)
                event = await _next(stream)
                # The lease of "one" may lapse while the second server starts.
                while event.data["instance"]["instance_id"] == "one":
                    event = await _next(stream)
                assert event.data["instance"]["instance_id"] == "two"
        connection = await asyncpg.connect(url)
        try:
            assert await connection.fetchval("select bool_and(stopped_at is not null) from mcp.lease_keepers")
        finally:
            await connection.close()


async def test_metrics_name_the_types_that_live(http: httpx.AsyncClient, tenant: dict[str, str]) -> None:
    agent_id = f"type-{uuid4().hex[:8]}"
    for instance_id in ("one", "two"):
        await _register(http, tenant, instance_id, agent_id=agent_id)
    text = (await http.get("/metrics", headers={"accept": "text/plain"})).text
    assert f'agenthall_registry_instances{{agent="{agent_id}"}} 2.0' in text
    assert 'agenthall_registry_registrations_total{result="registered"}' in text
    assert "\nagenthall_registry_instances_stale " in text
