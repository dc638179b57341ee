"""The audit trail of a whole server: one entry for each administrative change, with its actor and without secrets."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from audited_routes import AUDITED
from bots.server_jobs import create_job
from commands.command_line import agenthall
from databases import prepared_database
from deadlines import DEADLINE
from servers.live_server import LiveServer, live_server, until
from users.demo_users import HARBOUR, MEADOW, SECRET, bearer, token

from contract.registry.registry_api import (
    CONFIGURATIONS,
    INSTANCES,
    MANIFESTS,
    add_brake,
    new_agent_id,
    problem,
    register,
)

Call = Callable[[str, str, Any], Awaitable[httpx.Response]]
"""Sends a request of the operator's, with the request id of the test."""

HIDDEN = "hunter2-the-secret"


@pytest.fixture(scope="module")
async def server(postgres: str, template: str) -> AsyncIterator[LiveServer]:
    settings = {"AUTH_MODE": "jwt", "AUTH_JWT_SECRET": SECRET}
    async with prepared_database(postgres, template) as url, live_server(url, **settings) as running:
        yield running


@pytest.fixture(scope="module")
async def root(server: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    async with server.http(**bearer("root", permissions=("admin",)), **{"x-organization-id": HARBOUR}) as client:
        yield client


@pytest.fixture(scope="module")
async def bot(server: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    async with server.http(**bearer("bot", HARBOUR)) as client:
        yield client


@pytest.fixture
async def login(server: LiveServer) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(server.database)
    yield connection
    await connection.close()


async def entries(client: httpx.AsyncClient, **where: Any) -> list[dict[str, Any]]:
    answer = await client.get("/audit", params=where)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["entries"])


async def entries_of_request(login: asyncpg.Connection, request_id: str) -> list[dict[str, Any]]:
    rows = await login.fetch("select * from agenthall.audit_log where request_id = $1", request_id)
    return [dict(row) for row in rows]


class Operations:
    """One request for each audited route. Each prepares what it changes, and returns the id that the entry names."""

    def __init__(self, root: httpx.AsyncClient, bot: httpx.AsyncClient, login: asyncpg.Connection, call: Call) -> None:
        self._root, self._bot, self._login, self._call = root, bot, login, call

    async def run(self, route: str) -> str:
        method, _, path = route.partition(" ")
        name = f"{method} {path}".lower().translate(str.maketrans(" /", "__", "{}")).replace("__", "_")
        changed: str = await getattr(self, f"_{name}")()
        return changed

    async def _done(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self._call(method, path, body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    async def _assistant(self) -> str:
        made = await self._root.post("/assistants", json={"graph_id": "echo", "config": {}})
        return str(made.json()["assistant_id"])

    async def _post_assistants(self) -> str:
        body = {"graph_id": "echo", "context": {"note": HIDDEN}}
        return str((await self._done("POST", "/assistants", body))["assistant_id"])

    async def _patch_assistants_assistant_id(self) -> str:
        which = await self._assistant()
        await self._done("PATCH", f"/assistants/{which}", {"context": {"note": HIDDEN}, "name": "renamed"})
        return which

    async def _post_assistants_assistant_id_latest(self) -> str:
        which = await self._assistant()
        await self._root.patch(f"/assistants/{which}", json={"name": "renamed"})
        await self._done("POST", f"/assistants/{which}/latest", {"version": 1})
        return which

    async def _delete_assistants_assistant_id(self) -> str:
        which = await self._assistant()
        await self._done("DELETE", f"/assistants/{which}")
        return which

    async def _thread(self) -> str:
        return str((await self._root.post("/threads", json={})).json()["thread_id"])

    async def _delete_threads_thread_id(self) -> str:
        which = await self._thread()
        await self._done("DELETE", f"/threads/{which}")
        return which

    async def _post_threads_prune(self) -> str:
        which = await self._thread()
        await self._done("POST", "/threads/prune", {"thread_ids": [which], "strategy": "delete"})
        return which

    async def _manifest(self) -> str:
        agent = new_agent_id()
        assert (await self._root.put(f"{MANIFESTS}/{agent}", json={})).is_success
        return agent

    async def _put_agents_manifests_agent_id(self) -> str:
        agent = new_agent_id()
        await self._done("PUT", f"{MANIFESTS}/{agent}", {"description": HIDDEN})
        return agent

    async def _patch_agents_manifests_agent_id(self) -> str:
        agent = await self._manifest()
        await self._done("PATCH", f"{MANIFESTS}/{agent}", {"description": HIDDEN})
        return agent

    async def _delete_agents_manifests_agent_id(self) -> str:
        agent = await self._manifest()
        await self._done("DELETE", f"{MANIFESTS}/{agent}")
        return agent

    async def _configuration(self) -> str:
        agent = new_agent_id()
        assert (await self._root.put(f"{CONFIGURATIONS}/{agent}", json={})).is_success
        return agent

    async def _put_agents_configurations_agent_id(self) -> str:
        agent = new_agent_id()
        await self._done("PUT", f"{CONFIGURATIONS}/{agent}", {"configuration": {"token": HIDDEN}})
        return agent

    async def _patch_agents_configurations_agent_id(self) -> str:
        agent = await self._configuration()
        await self._done("PATCH", f"{CONFIGURATIONS}/{agent}", {"enabled": False, "system_prompt": HIDDEN})
        return agent

    async def _delete_agents_configurations_agent_id(self) -> str:
        agent = await self._configuration()
        await self._done("DELETE", f"{CONFIGURATIONS}/{agent}")
        return agent

    async def _instance(self) -> str:
        return str((await register(self._bot, new_agent_id()))["registration_id"])

    async def _post_agents_instances_registration_id_cordon(self) -> str:
        which = await self._instance()
        await self._done("POST", f"{INSTANCES}/{which}/cordon", {"reason": HIDDEN})
        return which

    async def _post_agents_instances_registration_id_uncordon(self) -> str:
        which = await self._instance()
        await self._root.post(f"{INSTANCES}/{which}/cordon", json={})
        await self._done("POST", f"{INSTANCES}/{which}/uncordon")
        return which

    async def _post_agents_instances_registration_id_drain(self) -> str:
        which = await self._instance()
        await self._done("POST", f"{INSTANCES}/{which}/drain", {"epoch": 1})
        return which

    async def _delete_agents_instances_registration_id(self) -> str:
        which = await self._instance()
        await self._done("DELETE", f"{INSTANCES}/{which}?epoch=1")
        return which

    async def _post_agents_jobs_job_id_cancel(self) -> str:
        agent = await self._configuration()
        job = await create_job(self._login, HARBOUR, agent, {"input": {"messages": HIDDEN}})
        await self._done("POST", f"/agents/jobs/{job.job_id}/cancel", {"reason": HIDDEN, "grace_seconds": 0})
        return str(job.job_id)

    async def _delete_agents_brakes_agent_id(self) -> str:
        agent = await self._configuration()
        await add_brake(self._login, HARBOUR, agent)
        await self._done("DELETE", f"/agents/brakes/{agent}")
        return agent

    async def _post_keys(self) -> str:
        return str((await self._done("POST", "/keys", {"organizations": [HARBOUR]}))["prefix"])

    async def _post_keys_prefix_rotate(self) -> str:
        made = (await self._root.post("/keys", json={"organizations": [HARBOUR]})).json()
        await self._done("POST", f"/keys/{made['prefix']}/rotate", {})
        return str(made["prefix"])

    async def _delete_keys_prefix(self) -> str:
        made = (await self._root.post("/keys", json={"organizations": [HARBOUR]})).json()
        await self._done("DELETE", f"/keys/{made['prefix']}")
        return str(made["prefix"])


@pytest.mark.parametrize("route", AUDITED)
async def test_each_operation_writes_one_entry_with_its_actor_and_no_secrets(
    root: httpx.AsyncClient, bot: httpx.AsyncClient, login: asyncpg.Connection, route: str
) -> None:
    request_id = f"req-{uuid4()}"

    async def call(method: str, path: str, body: Any) -> httpx.Response:
        return await root.request(method, path, json=body, headers={"x-request-id": request_id})

    changed = await Operations(root, bot, login, call).run(route)
    (entry,) = await entries_of_request(login, request_id)
    assert (entry["action"], entry["resource_id"]) == (AUDITED[route], changed)
    assert (entry["actor"], entry["actor_kind"]) == ("root", "principal")
    expected = None if entry["resource_type"] == "manifest" else UUID(HARBOUR)
    assert entry["organization_id"] == expected
    assert HIDDEN not in json.dumps(entry, default=str)
    shown = await entries(root, resource_id=changed, organization_id=HARBOUR)
    assert (entry["audit_id"] in [each["audit_id"] for each in shown]) == (expected is not None)


async def test_an_update_names_the_fields_that_it_changed(root: httpx.AsyncClient) -> None:
    made = (await root.post("/assistants", json={"graph_id": "echo"})).json()["assistant_id"]
    await root.patch(f"/assistants/{made}", json={"name": "renamed", "config": {"tags": ["x"]}})
    (entry,) = await entries(root, resource_id=made, action="assistant.update")
    assert entry["changed_fields"] == ["config", "name"]


async def test_refused_and_failed_operations_write_nothing(
    root: httpx.AsyncClient, bot: httpx.AsyncClient, login: asyncpg.Connection
) -> None:
    request_id = f"req-{uuid4()}"
    headers = {"x-request-id": request_id}
    agent = new_agent_id()
    refused = [
        await bot.post("/keys", json={"organizations": [HARBOUR]}, headers=headers),
        await bot.put(f"{MANIFESTS}/{agent}", json={}, headers=headers),
        await root.put(f"{CONFIGURATIONS}/{agent}", json={"temperature": 99}, headers=headers),
        await root.patch(f"{CONFIGURATIONS}/{agent}", json={"enabled": False}, headers=headers),
        await root.delete(f"/assistants/{uuid4()}", headers=headers),
        await root.delete(f"/threads/{uuid4()}", headers=headers),
        await root.post(f"{INSTANCES}/{uuid4()}/cordon", json={}, headers=headers),
    ]
    assert [answer.status_code for answer in refused] == [403, 403, 422, 404, 404, 404, 404]
    assert await entries_of_request(login, request_id) == []


async def test_reads_and_runs_write_nothing(
    root: httpx.AsyncClient, bot: httpx.AsyncClient, server: LiveServer, login: asyncpg.Connection
) -> None:
    registered = await register(bot, new_agent_id())
    path = f"{INSTANCES}/{registered['registration_id']}"
    before = await login.fetchval("select max(audit_id) from agenthall.audit_log")
    for read in ("/audit", "/keys", path, MANIFESTS, CONFIGURATIONS, "/agents/jobs"):
        assert (await root.get(read)).status_code == 200
    assert (await root.post("/assistants/search", json={})).status_code == 200
    assert (await root.post("/threads/search", json={})).status_code == 200
    sdk = server.sdk(authorization=f"Bearer {token('ada', HARBOUR)}")
    thread = (await sdk.threads.create())["thread_id"]
    assert await sdk.runs.wait(thread, "echo", input={"text": 1}) == {"text": 1}
    assert await sdk.runs.wait(None, "echo", input={"text": 1}) == {"text": 1}  # its thread is deleted with it
    await sdk.store.put_item(("notes",), "one", {"text": 1})
    assert (await bot.post(f"{path}/heartbeat", json={"epoch": 1})).status_code == 200
    assert (await bot.post(f"{path}/drain", json={"epoch": 1})).status_code == 200
    assert (await bot.delete(f"{path}?epoch=1")).status_code == 204

    async def is_ephemeral_thread_gone() -> bool:
        return bool(await login.fetchval("select not exists (select from agenthall.threads where ephemeral)"))

    await until(is_ephemeral_thread_gone)
    assert await login.fetchval("select max(audit_id) from agenthall.audit_log") == before


async def test_an_operator_with_sql_shows_as_the_database_role(
    root: httpx.AsyncClient, login: asyncpg.Connection
) -> None:
    agent = new_agent_id()
    await root.put(f"{CONFIGURATIONS}/{agent}", json={})
    await login.execute("update mcp.agent_configurations set enabled = false where agent_id = $1", agent)
    await login.execute("set role agenthall_system")
    await login.execute("update mcp.agent_configurations set enabled = true where agent_id = $1", agent)
    role = await login.fetchval("select session_user")
    by = {(entry["actor_kind"], entry["actor"], entry["database_role"]) for entry in await entries(root, actor=role)}
    assert by == {("database", role, role)}
    found = await entries(root, resource_id=agent)
    assert [entry["action"] for entry in found] == ["configuration.update"] * 2 + ["configuration.create"]


async def test_the_server_is_the_actor_of_what_it_does_by_itself(root: httpx.AsyncClient) -> None:
    found = await entries(root, action="assistant.create", actor="agenthall web system")
    assert {entry["actor_kind"] for entry in found} <= {"server"}


async def test_who_may_read_the_trail(server: LiveServer, root: httpx.AsyncClient) -> None:
    agent = new_agent_id()
    await root.put(f"{CONFIGURATIONS}/{agent}", json={})
    async with (
        server.http(**bearer("member", HARBOUR)) as member,
        server.http(**bearer("auditor", HARBOUR, permissions=("audit",))) as auditor,
        server.http(**bearer("other", MEADOW, permissions=("audit",))) as other,
    ):
        assert problem(await member.get("/audit")) == (403, "scope_missing", "audit")
        assert [each["action"] for each in await entries(auditor, resource_id=agent)] == ["configuration.create"]
        assert await entries(other, resource_id=agent) == []
        assert {each["organization_id"] for each in await entries(auditor)} == {HARBOUR}
        foreign = await other.get("/audit", params={"organization_id": HARBOUR})
        assert foreign.status_code == 403


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"since": "yesterday"}, "since"),
        ({"until": "2026-01-01T00:00:00"}, "until"),
        ({"cursor": "x"}, "cursor"),
        ({"cursor": "1.999999999999999999"}, None),
        ({"resource_type": "user"}, "resource_type"),
        ({"organization_id": "x"}, "organization_id"),
        ({"who": "x"}, "who"),
    ],
)
async def test_a_wrong_query_names_the_parameter(
    root: httpx.AsyncClient, query: dict[str, str], field: str | None
) -> None:
    answer = await root.get("/audit", params=query)
    assert answer.status_code == (200 if field is None else 422)
    assert field is None or answer.json()["field"] == field


async def test_pages_hold_each_entry_once(root: httpx.AsyncClient) -> None:
    made = (await root.post("/assistants", json={"graph_id": "echo"})).json()["assistant_id"]
    for number in range(6):
        await root.patch(f"/assistants/{made}", json={"name": f"name {number}"})
    seen, cursor = [], None
    while True:
        where = {"resource_id": made, "limit": 3} | ({} if cursor is None else {"cursor": cursor})
        page = (await root.get("/audit", params=where)).json()
        seen += [entry["audit_id"] for entry in page["entries"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 7
    assert seen == sorted(seen, reverse=True)


async def test_the_command_shows_the_trail(server: LiveServer, root: httpx.AsyncClient) -> None:
    agent = new_agent_id()
    await root.put(f"{CONFIGURATIONS}/{agent}", json={})
    key = (await root.post("/keys", json={"organizations": [HARBOUR], "scopes": ["audit"]})).json()["key"]
    where = {"AGENTHALL_URL": server.url, "AGENTHALL_API_KEY": key}
    table = await asyncio.to_thread(agenthall, "audit", "--id", agent, **where)
    assert table.returncode == 0, table.stderr
    assert "configuration.create" in table.stdout and "root" in table.stdout
    listed = await asyncio.to_thread(agenthall, "audit", "--id", agent, "-o", "json", **where)
    assert [entry["resource_id"] for entry in json.loads(listed.stdout)] == [agent]


async def test_following_shows_each_new_entry_once(server: LiveServer, root: httpx.AsyncClient, tmp_path: Path) -> None:
    key = (await root.post("/keys", json={"organizations": [HARBOUR], "scopes": ["audit"]})).json()["key"]
    made = (await root.post("/assistants", json={"graph_id": "echo"})).json()["assistant_id"]
    shown = tmp_path / "shown"
    environment = {**os.environ, "AGENTHALL_URL": server.url, "AGENTHALL_API_KEY": key}
    command = [sys.executable, "-m", "robyn_server", "audit", "--follow", "--id", made, "-o", "json"]
    with shown.open("wb") as out:
        following = subprocess.Popen(
            command,
            env=environment,
            stdout=out,
            # a suite that runs in the background hands on that it ignores Ctrl-C
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - it takes no lock
        )
    try:
        for number, name in enumerate(("first", "second")):
            await until(lambda count=number + 1: len(shown.read_text().splitlines()) == count)
            await root.patch(f"/assistants/{made}", json={"name": name})
        await until(lambda: len(shown.read_text().splitlines()) == 3)
    finally:
        following.send_signal(signal.SIGINT)
    assert await asyncio.to_thread(following.wait, DEADLINE) == 0
    found = [json.loads(line) for line in shown.read_text().splitlines()]
    assert [entry["action"] for entry in found] == ["assistant.create", "assistant.update", "assistant.update"]
