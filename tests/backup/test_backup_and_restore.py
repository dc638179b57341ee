"""`agenthall backup` and `agenthall restore` between real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest
from deadlines import DEADLINE
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient
from operator_commands import agenthall, databases_of, login
from servers.live_server import LiveServer, live_server, until

HARBOUR = "0a000000-0000-4000-8000-000000000001"
KEYS = {"AUTH_MODE": "keys"}
QUESTION: dict[str, Any] = {"messages": [{"role": "user", "content": "Remember the word harbour."}]}


@dataclass
class Saved:
    """The state of a server that was backed up. `lists`: what its API answered."""

    login: str
    source: str
    file: Path
    folder: Path
    key: str
    thread: str
    waiting: str
    registration: str = ""
    lists: dict[str, Any] = field(default_factory=dict)


async def _lists(client: LangGraphClient, http: httpx.AsyncClient, saved: Saved) -> dict[str, Any]:
    """Everything that the restored server must answer in the same way."""
    instance = (await http.get(f"/agents/instances/{saved.registration}")).raise_for_status().json()
    return {
        "assistants": await client.assistants.search(limit=100),
        "threads": sorted(await client.threads.search(limit=100), key=lambda each: str(each["thread_id"])),
        "runs": [await client.runs.list(thread) for thread in (saved.thread, saved.waiting)],
        "states": [await client.threads.get_state(thread) for thread in (saved.thread, saved.waiting)],
        "items": await client.store.search_items([]),
        "history": await client.threads.get_history(saved.thread),
        # Without what a lapse of its lease changes: the machine may be slow.
        "registration": {name: instance[name] for name in ("registration_id", "agent_id", "instance_id", "epoch")},
    }


async def _shorten_outages(admin: str, url: str) -> None:
    """Otherwise the lease of an instance lasts for two minutes in which no server ran."""
    connection = await asyncpg.connect(admin)
    for setting, value in {"lease_grace": "1s", "longest_outage": "5s"}.items():
        await connection.execute(f"alter database {urlsplit(url).path[1:]} set mcp.{setting} = '{value}'")
    await connection.close()


def _clients(server: LiveServer, key: str) -> tuple[LangGraphClient, httpx.AsyncClient]:
    client = get_client(url=server.url, api_key=key, timeout=httpx.Timeout(DEADLINE))
    return client, httpx.AsyncClient(base_url=server.url, headers={"x-api-key": key}, timeout=DEADLINE)


@pytest.fixture(scope="module")
async def saved(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Saved]:
    """A server with a finished thread, a waiting interrupt, a key and an instance, backed up while it works."""
    folder = tmp_path_factory.mktemp("backups")
    async with login(postgres) as operator, databases_of(postgres, operator, "source") as [source]:
        assert agenthall("migrate", DATABASE_URL=source).returncode == 0
        made = agenthall("keys", "create", "--tenant", HARBOUR, "--name", "operator", DATABASE_URL=source, **KEYS)
        assert made.returncode == 0, made.stderr
        found = Saved(operator, source, folder / "hall.backup", folder / "hall", made.stdout.strip(), "", "")
        async with live_server(source, **KEYS) as server:
            client, http = _clients(server, found.key)
            found.thread = (await client.threads.create(metadata={"about": "harbour"}))["thread_id"]
            await client.runs.wait(found.thread, "agent", input=QUESTION)
            found.waiting = (await client.threads.create())["thread_id"]
            await client.runs.wait(found.waiting, "approval", input={"question": "leave the harbour?"})
            await client.store.put_item(["memories", "harbour"], "tide", {"high": 7})
            registered = await http.post("/agents/instances", json={"agent_id": "bot", "instance_id": "b-1"})
            assert registered.status_code == 201, registered.text
            found.registration = registered.json()["registration_id"]
            found.lists = await _lists(client, http, found)
            for path in (found.file, f"{found.folder}/"):
                done = agenthall("backup", path, DATABASE_URL=source)
                assert done.returncode == 0, done.stderr
                assert "48 tables" in done.stdout and "migration 00" in done.stdout
            await http.aclose()
        yield found


async def test_a_backup_has_the_lists_that_the_tests_compare(saved: Saved) -> None:
    assert [len(runs) for runs in saved.lists["runs"]] == [1, 1]
    assert saved.lists["states"][1]["interrupts"]
    assert saved.lists["items"]["items"][0]["value"] == {"high": 7}
    assert saved.lists["registration"]["instance_id"] == "b-1"
    assert saved.lists["assistants"] and len(saved.lists["history"]) > 1
    assert saved.file.stat().st_mode & 0o077 == 0 and (saved.folder / "toc.dat").is_file()


@pytest.mark.parametrize("form", ["file", "folder"])
async def test_a_restored_server_answers_the_same_and_goes_on(postgres: str, saved: Saved, form: str) -> None:
    async with databases_of(postgres, saved.login, "target") as [target]:
        done = agenthall("restore", getattr(saved, form), DATABASE_URL=target)
        assert done.returncode == 0, done.stderr
        assert "restored 2 threads, 2 runs" in done.stdout and "1 keys, 1 instances" in done.stdout
        await _shorten_outages(postgres, target)
        async with live_server(target, **KEYS) as server:
            client, http = _clients(server, saved.key)
            assert await _lists(client, http, saved) == saved.lists
            resumed: Any = await client.runs.wait(saved.waiting, "approval", command={"resume": "yes"})
            assert resumed["answer"] == "yes"
            answered: Any = await client.runs.wait(
                saved.thread, "agent", input={"messages": [{"role": "user", "content": "What did I say first?"}]}
            )
            assert len(answered["messages"]) > len(saved.lists["states"][0]["values"]["messages"])

            async def has_lapsed() -> bool:
                return (await http.get("/agents/instances")).json()["instances"] == []

            await until(has_lapsed)
            await http.aclose()
