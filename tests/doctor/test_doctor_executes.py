"""The doctor runs the membership query, loads graphs and models, and checks the settings of the running server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest
from catalogues.catalogue_tables import CatalogueEditor, catalogue_database
from databases import fresh_database
from servers.forked_process import run_agenthall

from robyn_server.agent_sync import CatalogueSource, catalogue_grants_sql, probe_catalogue
from robyn_server.supervisor.address_file import RunningServer, published_address

GRAPHS = {
    "good.py": "from langgraph.graph import StateGraph\nbuilder = StateGraph(dict).add_node('a', lambda s: s).add_edge('__start__', 'a')\n"
    "graph = builder.compile()\ndef factory(config): return graph\nword = 'graph'\n"
    "unfinished = StateGraph(dict).add_node('a', lambda s: s).add_edge('a', 'nowhere')\n",
    "broken.py": "def graph(:\n",
    "raising.py": "raise KeyError('MY_SECRET_NAME')\n",
}


async def doctor(url: str, folder: Path, port: str | None = "0", **environment: str) -> dict[str, tuple[bool, str]]:
    """Run the doctor. Return for each subject whether it passed, and the text."""
    ours = ("AGENT", "AUTH_", "DATABASE_", "CATALOGUE_")
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(ours) and "_API_KEY" not in name
    }
    done = await asyncio.to_thread(
        run_agenthall,
        "doctor",
        *(() if port is None else ("--port", port)),
        cwd=folder,
        env={**inherited, "DATABASE_URL": url, **environment},
    )
    found: dict[str, tuple[bool, str]] = {}
    for line in done.stdout.splitlines():
        mark, name, text = line[:4], line[6:].split("  ")[0], line[6:].partition("  ")[2].strip()
        found[name] = (mark == "ok  ", text)
    assert found, done.stderr
    assert done.returncode == (0 if all(passed for passed, _ in found.values()) else 1)
    return found


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in GRAPHS.items():
        (tmp_path / name).write_text(text)
    return tmp_path


EXPECTED = {
    "./good.py:graph": "a compiled graph",
    "good:graph": "a compiled graph",
    "./good.py:builder": "a builder, which compiles",
    "./good.py:factory": "a factory",
    "./good.py:graf": "has no attribute 'graf'",
    "./good.py:word": "is of type str",
    "./good.py:unfinished": "Graph must have an entrypoint",
    "./absent.py:graph": "no such file",
    "absent:graph": "No module named 'absent'",
    "./broken.py:graph": "SyntaxError",
    "./raising.py:graph": "KeyError: 'MY_SECRET_NAME'",
}
"""The line of each graph, by the path that names it."""


async def test_each_graph_is_loaded(postgres: str, project: Path) -> None:
    names = {f"graph-{number}": path for number, path in enumerate(EXPECTED)}
    async with fresh_database(postgres) as url:
        found = await doctor(url, project, AGENTHALL_GRAPHS=json.dumps(names))
    for name, path in names.items():
        passed, text = found[f"graph {name}"]
        assert EXPECTED[path] in text
        assert passed == EXPECTED[path].startswith("a ")


@contextlib.asynccontextmanager
async def _login(postgres: str, pool: Any) -> AsyncIterator[tuple[str, str]]:
    """A login without rights on the catalogue: its name, and its URL."""
    name = f"reader_{uuid4().hex[:8]}"
    database = await pool.fetchval("select current_database()")
    await pool.execute(f"create role {name} login password 'secret'")
    parts = urlsplit(postgres)
    host = parts.netloc.rpartition("@")[2]
    try:
        yield name, parts._replace(netloc=f"{name}:secret@{host}", path=f"/{database}").geturl()
    finally:
        await pool.execute(f"drop owned by {name}; drop role {name}")


async def test_the_membership_query_is_run_with_the_rights_that_it_will_have(postgres: str, tmp_path: Path) -> None:
    jwt = {"AUTH_MODE": "jwt", "AUTH_JWT_SECRET": "x" * 32, "AUTH_JWT_AUDIENCE": "agents"}
    query = {"AUTH_MEMBERSHIP_QUERY": "select organization_id from members where user_id = $1"}
    async with catalogue_database(postgres) as pool, _login(postgres, pool) as (name, login):
        url = urlsplit(postgres)._replace(path="/" + await pool.fetchval("select current_database()")).geturl()
        await pool.execute("create table members (user_id uuid, organization_id uuid)")
        found = await doctor(url, tmp_path, CATALOGUE_DATABASE_URL=login, **jwt, **query)
        assert found["membership"] == (False, "AUTH_MEMBERSHIP_QUERY permission denied for table members")
        await pool.execute(f"grant select on members to {name}")
        found = await doctor(url, tmp_path, CATALOGUE_DATABASE_URL=login, **jwt, **query)
        assert found["membership"] == (True, "AUTH_MEMBERSHIP_QUERY prepares and runs, and returns organization ids")
        for text, reason in {
            "select (1 / 0)::text where $1 <> ''": "division by zero",
            "select 'no uuid' where $1 <> ''": "not a UUID",
            "delete from members where user_id::text = $1 returning organization_id": "read-only",
        }.items():
            found = await doctor(url, tmp_path, **jwt, AUTH_MEMBERSHIP_QUERY=text)
            passed, said = found["membership"]
            assert not passed and reason in said, said


async def test_models_without_a_key_are_named_with_their_agents(postgres: str, tmp_path: Path) -> None:
    async with catalogue_database(postgres) as pool:
        editor = CatalogueEditor(pool)
        engines = [await editor.add_engine(model) for model in ("openai:gpt-4o", "offline:demo", "nobody:model")]
        for engine in (engines[0], engines[0], engines[1]):
            await editor.add_agent(engine_id=engine)
        await editor.add_agent(engine_id=engines[0], graph_id="another graph, which chooses by itself")
        url = urlsplit(postgres)._replace(path="/" + await pool.fetchval("select current_database()")).geturl()
        assert "models" not in await doctor(url, tmp_path), "AGENT_SYNC_SCOPE=none serves none of them"
        passed, text = (await doctor(url, tmp_path, AGENT_SYNC_SCOPE="all"))["models"]
        assert not passed
        assert "The model openai:gpt-4o needs an API key: set OPENAI_API_KEY where the server runs. (2 agents)" in text
        passed, text = (await doctor(url, tmp_path, AGENT_SYNC_SCOPE="all", OPENAI_API_KEY="sk-test"))["models"]
        assert (passed, text) == (True, "openai:gpt-4o (2 agents), offline:demo (1 agent)")
        await editor.add_agent(engine_id=engines[2])
        passed, text = (await doctor(url, tmp_path, AGENT_SYNC_SCOPE="all", OPENAI_API_KEY="sk-test"))["models"]
        assert not passed and "Unknown model 'nobody:model'" in text and "openai" not in text.partition(":")[0]


async def test_the_settings_of_a_running_server_are_checked(postgres: str, tmp_path: Path) -> None:
    async with catalogue_database(postgres) as pool:
        editor = CatalogueEditor(pool)
        await editor.add_agent(engine_id=await editor.add_engine("openai:gpt-4o"))
        url = urlsplit(postgres)._replace(path="/" + await pool.fetchval("select current_database()")).geturl()
        server = RunningServer("http://127.0.0.1:9", 7, {"AGENT_SYNC_SCOPE": "all"}, ["OPENAI_API_KEY"])
        with published_address(tmp_path / ".agenthall", server):
            found = await doctor(url, tmp_path)
            assert found["server"] == (True, "http://127.0.0.1:9 (pid 7) runs with AGENT_SYNC_SCOPE=all")
            assert found["settings"] == (True, "AUTH_MODE=none, AGENT_SYNC_SCOPE=all")
            assert found["models"] == (True, "openai:gpt-4o (1 agent)"), "the server has the key"
            passed, text = (await doctor(url, tmp_path, AGENT_SYNC_SCOPE="none"))["server"]
            assert not passed and "AGENT_SYNC_SCOPE=all (here: none); restart it" in text
        assert "server" not in await doctor(url, tmp_path)


async def test_the_port_of_a_running_server_is_checked_unless_another_is_named(postgres: str, tmp_path: Path) -> None:
    async with fresh_database(postgres) as url:
        with socket.create_server(("127.0.0.1", 0)) as held:
            port = held.getsockname()[1]
            with published_address(tmp_path / ".agenthall", RunningServer(f"http://127.0.0.1:{port}", 7)):
                passed, text = (await doctor(url, tmp_path, port=None))["port"]
                assert passed
                assert text.startswith(f"{port} on 127.0.0.1 is held by the `agenthall serve` of this data directory")
                assert (await doctor(url, tmp_path))["port"][1].partition(" ")[0] != str(port)


@pytest.mark.parametrize("without", [(), ("agents",), ("agents", "mcp_tools", "ai_models")])
async def test_the_printed_grants_cover_updated_at_where_it_exists(postgres: str, without: tuple[str, ...]) -> None:
    async with catalogue_database(postgres) as pool, _login(postgres, pool) as (name, login):
        for table in ("agents", "agent_mcp_tools", "mcp_tools", "global_ai_engines", "ai_models"):
            change = "drop column if exists" if table in without else "add column if not exists"
            await pool.execute(
                f"alter table public.{table} {change} updated_at" + ("" if table in without else " timestamptz")
            )
        await pool.execute(catalogue_grants_sql(CatalogueSource(), write_back=True, role=name))
        async with asyncpg.create_pool(login, min_size=1, max_size=1) as reader:
            contract = await probe_catalogue(reader)
        assert (contract.problems, contract.unreadable_clocks) == ([], ())
        assert contract.without_clock == [f"public.{table}" for table in without]


async def test_an_updated_at_that_may_not_be_read_is_no_missing_column(postgres: str, tmp_path: Path) -> None:
    async with catalogue_database(postgres) as pool, _login(postgres, pool) as (name, login):
        await pool.execute(catalogue_grants_sql(CatalogueSource(), write_back=True, role=name))
        await pool.execute(f"revoke select (updated_at) on public.agents from {name}")
        passed, text = (await doctor(login, tmp_path, AGENT_SYNC_SCOPE="all"))["catalogue"]
        assert passed and "no SELECT on updated_at: public.agents" in text
        assert "without updated_at: public.agents" not in text
