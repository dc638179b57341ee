"""`agenthall catalogue map` as a process: in a script, and as a dialogue in a terminal."""

from __future__ import annotations

import os
import pty
import secrets
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from commands.command_line import agenthall
from databases import fresh_database
from deadlines import DEADLINE

TABLES = """
create table public.bots (id uuid primary key, team_id uuid, name text not null, prompt text, model text, status text not null);
insert into public.bots values ('00000000-0000-0000-0000-000000000001', null, 'Ada', 'Be kind.', 'offline:demo', 'live');
"""


@pytest.fixture
async def role() -> str:
    return f"reader_{secrets.token_hex(4)}"


@pytest.fixture
async def product(postgres: str, role: str) -> AsyncIterator[str]:
    async with fresh_database(postgres) as url:
        connection = await asyncpg.connect(url)
        await connection.execute(TABLES)
        yield url
        if await connection.fetchval("select true from pg_roles where rolname = $1", role):
            await connection.execute(f"drop owned by {role}; drop role {role}")
        await connection.close()


def catalogue_map(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return agenthall("catalogue", "map", *arguments, CATALOGUE_DATABASE_URL=url)


async def _view(url: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval("select to_regclass('agenthall_catalogue.agents')::text")
    finally:
        await connection.close()


async def test_the_sql_goes_to_standard_output_and_the_rest_does_not(product: str, role: str) -> None:
    said = catalogue_map(product, "bots", "--active", "status=live", "--role", role)
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("-- Agenthall:")
    assert said.stdout.endswith("commit;\n")
    assert "1 agents can be served: Ada" in said.stderr
    assert "AGENT_SYNC_CATALOGUE=agenthall_catalogue.agents" in said.stderr
    assert await _view(product) is None


async def test_only_apply_changes_the_database(product: str, role: str, tmp_path: Path) -> None:
    file = tmp_path / "catalogue.sql"
    options = ("--active", "status=live", "--role", role)
    said = catalogue_map(product, *options, "--output", str(file))
    assert (said.returncode, said.stdout) == (0, "")
    assert await _view(product) is None
    assert catalogue_map(product, *options, "--apply").returncode == 0
    assert await _view(product) == "agenthall_catalogue.agents"
    assert "create view agenthall_catalogue.agents" in file.read_text()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "--active status=…"),
        (("--active", "none", "--column", "name"), "--column: 'name' is not NAME=VALUE"),
        (("--active", "none", "--column", "name=id", "--column", "name=model"), "--column: name is there twice"),
        (("--active", "none", "--view", "agents"), "--view: 'agents' is not schema.relation"),
        (("--active", "none", "--role", "No Role"), "--role: 'No Role' is not a plain name"),
        (("--active", "none", "--column", "name=id"), "column name is of type uuid, not text"),
    ],
)
async def test_wrong_usage_is_exit_code_2(product: str, arguments: tuple[str, ...], reason: str) -> None:
    said = catalogue_map(product, *arguments)
    assert (said.returncode, reason in said.stderr, said.stdout) == (2, True, ""), said.stderr


def test_the_database_has_to_be_named() -> None:
    said = agenthall("catalogue", "map", CATALOGUE_DATABASE_URL="")
    assert (said.returncode, "CATALOGUE_DATABASE_URL is not set" in said.stderr) == (2, True)


class Dialogue:
    """A process in a terminal."""

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        self._terminal, theirs = pty.openpty()
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AGENT")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "robyn_server", *arguments],
            stdin=theirs,
            stdout=subprocess.DEVNULL,
            stderr=theirs,
            env={**inherited, "NO_COLOR": "1", **environment},
        )
        os.close(theirs)
        self._text = ""

    def expect(self, text: str) -> None:
        """Read until `text` is there, and forget what came before it."""
        end = time.monotonic() + DEADLINE
        while text not in self._text:
            assert time.monotonic() < end, self._text
            try:
                self._text += os.read(self._terminal, 4096).decode(errors="replace")
            except OSError:  # the process has ended
                raise AssertionError(f"{text!r} did not come: {self._text}") from None
        self._text = self._text.partition(text)[2]

    def say(self, line: str) -> None:
        os.write(self._terminal, f"{line}\n".encode())

    def end(self) -> int:
        try:
            return self._process.wait(DEADLINE)
        finally:
            os.close(self._terminal)


async def test_a_dialogue_shows_each_correction_until_it_is_accepted(product: str, role: str, tmp_path: Path) -> None:
    file = tmp_path / "catalogue.sql"
    arguments = ["catalogue", "map", "--role", role, "--output", str(file)]
    dialogue = Dialogue(arguments, {"CATALOGUE_DATABASE_URL": product})
    dialogue.expect("--active status=…")
    dialogue.say("")  # nothing can be accepted yet
    dialogue.expect("--active status=…")
    dialogue.say("active=status=live")
    dialogue.expect("1 agents can be served: Ada")
    dialogue.say("description=nothing")
    dialogue.expect("public.bots has no column 'nothing'")
    dialogue.say("description=prompt")
    dialogue.expect("description            prompt")
    dialogue.expect("map> ")
    dialogue.say("columns bots")
    dialogue.expect("public.bots: id, team_id, name, prompt, model, status")
    dialogue.expect("map> ")
    dialogue.say("")
    dialogue.expect("Written to")
    assert dialogue.end() == 0
    assert "a.prompt as description" in file.read_text()


async def test_a_dialogue_that_is_left_writes_nothing(product: str, tmp_path: Path) -> None:
    file = tmp_path / "catalogue.sql"
    dialogue = Dialogue(["catalogue", "map", "-o", str(file)], {"CATALOGUE_DATABASE_URL": product})
    dialogue.expect("map> ")
    dialogue.say("q")
    assert dialogue.end() == 1
    assert not file.exists()
