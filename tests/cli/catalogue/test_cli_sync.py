"""`agenthall sync` as a process, on a database beside which no server runs."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from catalogues.catalogue_writer import TABLES, CatalogueWriter
from commands.command_line import agenthall, imported
from commands.pseudo_terminal import until_closed
from deadlines import DEADLINE

SCOPE = {"AGENT_SYNC_SCOPE": "all", "AGENTHALL_DEFAULT_MODEL": "offline:demo"}
BAD = '{"base_url": "http://evil"}'


@pytest.fixture
async def product(database: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(database)
    await connection.execute(TABLES)
    yield connection
    await connection.close()


def sync(url: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return agenthall("sync", *arguments, DATABASE_URL=url, **SCOPE | environment)


def lines(said: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """The table's lines by the agent's id."""
    return {line.split()[0]: line for line in said.stdout.splitlines() if line[8:9] == "-"}


async def test_a_table_of_what_changed_and_the_counters(database: str, product: asyncpg.Connection[Any]) -> None:
    agent_id = await CatalogueWriter(product).add_agent(name="Ada")
    said = sync(database)
    assert said.returncode == 0, said.stderr
    assert lines(said)[agent_id].split()[1:] == ["Ada", "created"]
    assert "agent sync finished" in said.stderr and "agent sync finished" not in said.stdout
    assert "scope all: 1 agents; 1 created, 0 updated, 0 skipped, 0 failed, 0 retired" in said.stdout
    again = sync(database)
    assert (again.returncode, lines(again)) == (0, {})
    assert "1 skipped" in again.stdout
    assert await product.fetchval("select count(*) from agenthall.assistants where catalogue_hash is not null") == 1


async def test_a_dry_run_shows_the_fields_and_writes_nothing(database: str, product: asyncpg.Connection[Any]) -> None:
    catalogue_writer = CatalogueWriter(product)
    edited, gone = await catalogue_writer.add_agent(), await catalogue_writer.add_agent()
    sync(database)
    await product.execute("update public.agents set system_prompt = 'else' where id = $1", UUID(edited))
    await product.execute("update public.agents set status = 'off' where id = $1", UUID(gone))
    new = await catalogue_writer.add_agent()
    said = sync(database, "--dry-run")
    assert said.returncode == 0, said.stderr
    shown = lines(said)
    assert set(shown) == {edited, gone, new}
    assert "updated" in shown[edited] and "configurable.system_prompt" in shown[edited]
    assert "retired" in shown[gone]
    assert "would be: 1 created, 1 updated, 0 skipped, 0 failed, 1 retired" in said.stdout
    assert await product.fetchval("select max(version) from agenthall.assistants") == 1


async def test_an_agent_that_fails_is_shown_with_its_reason_and_exit_code_1(
    database: str, product: asyncpg.Connection[Any]
) -> None:
    agent_id = await CatalogueWriter(product).add_agent(sampling_params=BAD)
    for arguments in ((), ("--dry-run",), ("--agent", agent_id), ("--agent", agent_id, "--dry-run")):
        said = sync(database, *arguments)
        assert said.returncode == 1, said.stderr
        assert "base_url: not a sampling parameter" in lines(said)[agent_id]
        assert "1 failed" in said.stdout


async def test_one_agent_only(database: str, product: asyncpg.Connection[Any]) -> None:
    wanted, _ = [await CatalogueWriter(product).add_agent() for _ in range(2)]
    said = sync(database, "--agent", wanted, AGENT_SYNC_SCOPE="none")
    assert (said.returncode, set(lines(said))) == (0, {wanted}), said.stderr
    unknown = sync(database, "--agent", str(uuid4()))
    assert (unknown.returncode, "not found in the catalogue" in unknown.stderr) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--scope", "org:x"), "'org:x'"),
        (("--scope", "none"), "nothing is in scope"),
        (("--scope", "all", "--agent", str(uuid4())), "name one of them"),
        (("--agent", "x"), "--agent"),
    ],
)
async def test_wrong_usage_is_exit_code_2_and_says_what(database: str, arguments: tuple[str, ...], said: str) -> None:
    done = sync(database, *arguments)
    assert done.returncode == 2
    assert said in done.stderr


async def test_without_a_catalogue_it_is_one_line_and_exit_code_1(database: str) -> None:
    said = sync(database)
    assert (said.returncode, len(said.stderr.splitlines())) == (1, 1), said.stderr
    assert "no catalogue" in said.stderr


async def test_a_dry_run_does_not_migrate_either(empty_database: str) -> None:
    said = sync(empty_database, "--dry-run")
    assert (said.returncode, "agenthall migrate" in said.stderr) == (2, True)
    connection = await asyncpg.connect(empty_database)
    assert await connection.fetchval("select to_regnamespace('agenthall')") is None
    await connection.close()


async def test_on_a_terminal_a_bar_tells_how_far_it_is(database: str, product: asyncpg.Connection[Any]) -> None:
    await CatalogueWriter(product).add_agent()
    ours, theirs = pty.openpty()
    environment = {**os.environ, **SCOPE, "DATABASE_URL": database, "TERM": "xterm"}
    arguments = [sys.executable, "-m", "robyn_server", "sync", "--dry-run"]
    process = subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    shown = b"".join(until_closed(ours)).decode()
    out, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, shown
    assert "1/1" in shown
    assert b"1 created" in out


def test_the_commands_import_no_rich_before_it_is_needed() -> None:
    assert "rich" not in imported("-c", "import robyn_server.cli.commands")
