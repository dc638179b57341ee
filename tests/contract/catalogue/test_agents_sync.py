"""/agents/sync: how the sync stands, a sync on request, and what one would do.

A server whose own passes are far away.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from catalogues.catalogue_writer import TABLES, CatalogueWriter
from databases import fresh_database, prepared_database
from servers.live_server import LiveServer, live_server, until
from users.demo_users import SECRET, bearer

HARBOUR, MEADOW = str(uuid4()), str(uuid4())
BAD = '{"base_url": "http://evil"}'
SNAPSHOT = """
select (select md5(string_agg(a::text, ',' order by a.id)) from public.agents a),
       (select md5(string_agg(a::text, ',' order by a.assistant_id)) from agenthall.assistants a),
       (select md5(string_agg(v::text, ',' order by v.assistant_id, v.version)) from agenthall.assistant_versions v),
       (select md5(string_agg(s::text, ',' order by s.agent_id)) from agenthall.agent_sync s)"""


@pytest.fixture(scope="module")
async def product_server(postgres: str, template: str) -> AsyncIterator[LiveServer]:
    settings = {"AUTH_MODE": "jwt", "AUTH_JWT_SECRET": SECRET, "AGENT_SYNC_SCOPE": "all", "AGENT_SYNC_EVERY": "3600"}
    async with (
        prepared_database(postgres, template, TABLES) as url,
        live_server(url, workers=0, **settings) as server,
    ):
        yield server


@pytest.fixture
async def catalogue_writer(product_database: asyncpg.Connection[Any], admin: httpx.AsyncClient) -> CatalogueWriter:
    """The catalogue, empty; so is the server."""
    await product_database.execute(
        "truncate public.agents, agenthall.agent_sync; delete from agenthall.assistants where catalogue_hash is not null"
    )
    return CatalogueWriter(product_database)


@pytest.fixture(scope="module")
async def admin(product_server: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    async with product_server.http(**bearer("root", permissions=("admin",))) as client:
        yield client


async def synced(admin: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await admin.post("/agents/sync", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def actions(report: dict[str, Any]) -> dict[str, str]:
    return {change["agent_id"]: change["action"] for change in report["changes"]}


async def test_only_administrators_may(product_server: LiveServer) -> None:
    async with product_server.http(**bearer("anna", HARBOUR)) as anna:
        assert (await anna.get("/agents/sync")).status_code == 403
        assert (await anna.post("/agents/sync", json={"dry_run": True})).status_code == 403
    async with product_server.http() as nobody:
        assert (await nobody.get("/agents/sync")).status_code == 401


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"scope": "org:nonsense"}, "org:nonsense"),
        ({"scope": f"all,org:{HARBOUR}"}, "'all'"),
        ({"scope": "none"}, "none"),
        ({"scope": 1}, "scope"),
        ({"agent_id": "x"}, "agent ID"),
        ({"dry_run": "yes"}, "dry_run"),
        ({"dryrun": True}, "dryrun"),
        ({"scope": "all", "agent_id": HARBOUR}, "not both"),
    ],
)
async def test_a_body_that_does_not_fit_is_422_and_says_what(
    admin: httpx.AsyncClient, body: dict[str, Any], named: str
) -> None:
    answer = await admin.post("/agents/sync", json=body)
    assert answer.status_code == 422, answer.text
    assert named in answer.json()["detail"]


async def test_a_sync_answers_its_counters_and_what_changed(
    admin: httpx.AsyncClient, catalogue_writer: CatalogueWriter
) -> None:
    good, bad = await catalogue_writer.add_agent(), await catalogue_writer.add_agent(sampling_params=BAD)
    report = await synced(admin)
    assert report["counters"] == {"total": 2, "created": 1, "updated": 0, "skipped": 0, "failed": 1, "retired": 0}
    assert actions(report) == {good: "created", bad: "failed"}
    assert "base_url" in report["changes"][0]["reason"], "what failed comes first"
    assert (await admin.get(f"/assistants/{good}")).status_code == 200
    again = await synced(admin, scope="all")
    assert (again["counters"]["skipped"], again["counters"]["created"]) == (1, 0)


async def test_a_dry_run_tells_each_difference_and_writes_nothing(
    admin: httpx.AsyncClient, catalogue_writer: CatalogueWriter, product_database: asyncpg.Connection[Any]
) -> None:
    same, edited, gone, broken = [await catalogue_writer.add_agent() for _ in range(4)]
    await synced(admin)
    new = await catalogue_writer.add_agent()
    for change, agent_id in (
        ("system_prompt = 'other', name = 'Other'", edited),
        ("status = 'off'", gone),
        (f"sampling_params = '{BAD}'", broken),
    ):
        await product_database.execute(f"update public.agents set {change} where id = $1", UUID(agent_id))
    before = await product_database.fetchrow(SNAPSHOT)
    planned = await synced(admin, dry_run=True)
    assert await product_database.fetchrow(SNAPSHOT) == before
    expected = {new: "created", edited: "updated", gone: "retired", broken: "failed"}
    assert actions(planned) == expected, "and nothing of the one that is the same"
    by_id = {change["agent_id"]: change for change in planned["changes"]}
    assert by_id[edited]["fields"] == ["name", "configurable.system_prompt"]
    assert "base_url" in by_id[broken]["reason"]
    done = await synced(admin)
    assert done["counters"] == planned["counters"]
    assert actions(done) == expected
    assert (await admin.get(f"/assistants/{gone}")).status_code == 404
    assert same not in actions(done)


async def test_a_dry_run_of_one_agent_has_the_values_before_and_after(
    admin: httpx.AsyncClient, catalogue_writer: CatalogueWriter, product_database: asyncpg.Connection[Any]
) -> None:
    agent_id = await catalogue_writer.add_agent(system_prompt="before")
    (created,) = (await synced(admin, agent_id=agent_id, dry_run=True))["changes"]
    assert (created["before"], created["after"]["configurable"]["system_prompt"]) == (None, "before")
    await synced(admin, agent_id=agent_id)
    await product_database.execute("update public.agents set system_prompt = 'after' where id = $1", UUID(agent_id))
    (updated,) = (await synced(admin, agent_id=agent_id, dry_run=True))["changes"]
    prompts = [updated[side]["configurable"]["system_prompt"] for side in ("before", "after")]
    assert (prompts, updated["fields"]) == (["before", "after"], ["configurable.system_prompt"])
    (listed,) = (await synced(admin, dry_run=True))["changes"]
    assert "after" not in listed, "a report of a scope is bounded"


async def test_a_scope_of_one_organization_leaves_the_others_alone(
    admin: httpx.AsyncClient, catalogue_writer: CatalogueWriter, product_database: asyncpg.Connection[Any]
) -> None:
    mine, foreign = (
        await catalogue_writer.add_agent(organization_id=HARBOUR),
        await catalogue_writer.add_agent(organization_id=MEADOW),
    )
    await synced(admin)
    new = await catalogue_writer.add_agent(organization_id=MEADOW)
    await product_database.execute(
        "update public.agents set status = 'off' where id = any ($1)", [UUID(mine), UUID(foreign)]
    )
    body = {"scope": f"ORG: {HARBOUR}"}
    assert actions(await synced(admin, **body, dry_run=True)) == {mine: "retired"}
    report = await synced(admin, **body)
    assert (report["counters"]["total"], report["counters"]["retired"]) == (0, 1)
    in_service = "select assistant_id from agenthall.assistants where retired_at is null and catalogue_hash is not null"
    assert [str(row[0]) for row in await product_database.fetch(in_service)] == [foreign]
    assert new not in actions(report)


async def test_one_agent_is_synced_retired_and_comes_back(
    admin: httpx.AsyncClient, catalogue_writer: CatalogueWriter, product_database: asyncpg.Connection[Any]
) -> None:
    agent_id, other = await catalogue_writer.add_agent(), await catalogue_writer.add_agent()
    for dry_run in (True, False):
        assert actions(await synced(admin, agent_id=agent_id, dry_run=dry_run)) == {agent_id: "created"}
    assert (await synced(admin, agent_id=agent_id))["counters"]["skipped"] == 1
    switch = "update public.agents set status = $2 where id = $1"
    await product_database.execute(switch, UUID(agent_id), "off")
    for dry_run in (True, False):
        assert actions(await synced(admin, agent_id=agent_id, dry_run=dry_run)) == {agent_id: "retired"}
    await product_database.execute(switch, UUID(agent_id), "active")
    planned = await synced(admin, agent_id=agent_id, dry_run=True)
    assert (planned["changes"][0]["action"], planned["changes"][0]["fields"]) == ("updated", ["retired_at"])
    assert actions(await synced(admin, agent_id=agent_id)) == {agent_id: "updated"}
    assert (
        await product_database.fetchval(
            "select count(*) from agenthall.assistants where assistant_id = $1", UUID(other)
        )
        == 0
    )


async def test_one_agent_that_cannot_be_served_is_a_failure_with_its_reason(
    admin: httpx.AsyncClient, catalogue_writer: CatalogueWriter
) -> None:
    agent_id = await catalogue_writer.add_agent(name="")
    for dry_run in (True, False):
        (change,) = (await synced(admin, agent_id=agent_id, dry_run=dry_run))["changes"]
        assert (change["action"], "agents.name" in change["reason"]) == ("failed", True)
    assert (await admin.get("/agents/sync")).json()["failures"]["total"] == 1


async def test_an_agent_that_nobody_knows_is_404(admin: httpx.AsyncClient) -> None:
    for dry_run in (True, False):
        body = {"agent_id": str(uuid4()), "dry_run": dry_run}
        assert (await admin.post("/agents/sync", json=body)).status_code == 404


async def test_an_agent_that_was_missed_a_moment_ago_is_there_after_its_sync(
    admin: httpx.AsyncClient, catalogue_writer: CatalogueWriter, product_database: asyncpg.Connection[Any]
) -> None:
    agent_id = uuid4()
    assert (await admin.get(f"/assistants/{agent_id}")).status_code == 404
    await catalogue_writer.add_agent(name="late")
    await product_database.execute("update public.agents set id = $1", agent_id)
    await synced(admin, agent_id=str(agent_id))
    assert (await admin.get(f"/assistants/{agent_id}")).json()["name"] == "late"


async def test_without_the_feed_an_agent_that_was_missed_is_found_some_seconds_later(
    admin: httpx.AsyncClient, catalogue_writer: CatalogueWriter, product_database: asyncpg.Connection[Any]
) -> None:
    agent_id = uuid4()
    assert (await admin.get(f"/assistants/{agent_id}")).status_code == 404
    await catalogue_writer.add_agent()
    await product_database.execute("update public.agents set id = $1", agent_id)

    async def is_found() -> bool:
        return (await admin.get(f"/assistants/{agent_id}")).status_code == 200

    await until(is_found)


async def test_the_status_tells_the_last_pass_by_the_databases_clock(
    admin: httpx.AsyncClient, catalogue_writer: CatalogueWriter, product_database: asyncpg.Connection[Any]
) -> None:
    before = await product_database.fetchval("select clock_timestamp()")
    report = await synced(admin)
    status = (await admin.get("/agents/sync")).json()
    last = status["last_pass"]
    assert before < datetime.fromisoformat(last["at"]) < await product_database.fetchval("select clock_timestamp()")
    assert (status["scope"], last["scope"], last["failure"]) == ("all", "all", None)
    assert last["counters"] == report["counters"]
    assert last["seconds"] >= 0
    await synced(admin, scope=f"org:{HARBOUR}")
    passes = (await admin.get("/agents/sync")).json()["passes"]
    assert [each["scope"] for each in passes][:2] == [f"org:{HARBOUR}", "all"]


async def test_the_status_pages_through_failures(admin: httpx.AsyncClient, catalogue_writer: CatalogueWriter) -> None:
    bad = sorted([await catalogue_writer.add_agent(sampling_params=BAD) for _ in range(3)])
    await synced(admin)
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        failures = (await admin.get("/agents/sync", params=query)).json()["failures"]
        assert failures["total"] == 3
        seen += [each["agent_id"] for each in failures["items"]]
        assert all("base_url" in each["reason"] and each["at"] for each in failures["items"])
        if failures["next_after"] is None:
            break
        query["after"] = failures["next_after"]
    assert seen == bad
    assert (await admin.get("/agents/sync?limit=0")).status_code == 422
    assert (await admin.get("/agents/sync?after=x")).status_code == 422


async def test_a_write_back_that_the_catalogue_refuses_is_owed(
    admin: httpx.AsyncClient, catalogue_writer: CatalogueWriter, product_database: asyncpg.Connection[Any]
) -> None:
    await catalogue_writer.add_agent()
    await product_database.execute(
        "alter table public.agents add constraint no_word_back check (langgraph_assistant_id is null)"
    )
    try:
        await synced(admin)
        assert (await admin.get("/agents/sync")).json()["owed_write_backs"] == 1
    finally:
        await product_database.execute("alter table public.agents drop constraint no_word_back")
    await synced(admin)
    assert (await admin.get("/agents/sync")).json()["owed_write_backs"] == 0


async def test_a_drifted_catalogue_is_named_column_by_column_and_a_sync_of_it_is_503(
    admin: httpx.AsyncClient, catalogue_writer: CatalogueWriter, product_database: asyncpg.Connection[Any]
) -> None:
    assert (await admin.get("/agents/sync")).json()["contract"] == {
        "reachable": True,
        "problems": [],
        "absent_columns": [],
        "can_write_back": True,
    }
    await product_database.execute("alter table public.agents rename column system_prompt to prompt")
    try:
        contract = (await admin.get("/agents/sync")).json()["contract"]
        assert contract["problems"] == ["column public.agents.system_prompt is missing"]
        for body in ({}, {"dry_run": True}, {"agent_id": str(uuid4())}):
            answer = await admin.post("/agents/sync", json=body)
            assert (answer.status_code, answer.json()["code"]) == (503, "catalogue_contract")
            assert "system_prompt" in answer.json()["detail"]
        assert "system_prompt" in (await admin.get("/agents/sync")).json()["last_pass"]["failure"]
    finally:
        await product_database.execute("alter table public.agents rename column prompt to system_prompt")
    await synced(admin)


async def test_a_server_of_some_organizations_syncs_no_others(postgres: str, template: str) -> None:
    async with fresh_database(postgres, template) as url:
        connection = await asyncpg.connect(url)
        await connection.execute(TABLES)
        foreign = await CatalogueWriter(connection).add_agent(organization_id=MEADOW)
        await connection.close()
        async with live_server(url, workers=0, AGENT_SYNC_SCOPE=f"org:{HARBOUR}") as server, server.http() as local:
            for scope in ("all", f"org:{HARBOUR},org:{MEADOW}"):
                answer = await local.post("/agents/sync", json={"scope": scope})
                assert (answer.status_code, answer.json()["field"]) == (422, "scope")
            assert (await local.post("/agents/sync", json={"agent_id": foreign})).status_code == 404
            await until(lambda: _has_feed(local))


async def _has_feed(local: httpx.AsyncClient) -> bool:
    return bool((await local.get("/agents/sync")).json()["feed_connected"])
