"""The doctor on the keys that encrypt credentials."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from databases import fresh_database
from servers.forked_process import run_agenthall

from robyn_server.credentials.key_ring import new_key


class Operator:
    """Runs commands on one database and one data directory. `environment`: of all of them."""

    def __init__(self, database: str, folder: Path) -> None:
        ours = ("AGENT", "AUTH_", "DATABASE_", "CATALOGUE_")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        self.environment = {**inherited, "DATABASE_URL": database, "AGENTHALL_DATA_DIR": str(folder)}
        self.key_file = folder / "secret-key"

    async def run(self, *arguments: str, **environment: str) -> str:
        done = await asyncio.to_thread(run_agenthall, *arguments, env={**self.environment, **environment})
        return done.stdout + done.stderr

    async def put(self, number: int, **environment: str) -> None:
        """Store an entry, which is authenticated with the current key."""
        url = f"https://tools.example/{number}"
        assert url in await self.run("credentials", "put", url, "--env", "TOOL_TOKEN", **environment)

    async def check(self, **environment: str) -> str:
        printed = await self.run("doctor", "--port", "0", **environment)
        return next(line for line in printed.splitlines() if line.split()[1:2] == ["credentials"])


@pytest.fixture
async def operator(postgres: str, template: str, tmp_path: Path) -> AsyncIterator[Operator]:
    async with fresh_database(postgres, template) as url:
        yield Operator(url, tmp_path)


async def test_it_makes_no_key(operator: Operator) -> None:
    assert await operator.check() == "ok    credentials  nothing is encrypted yet"
    assert not operator.key_file.exists()


async def test_an_older_key_is_told_until_everything_has_the_current_one(operator: Operator) -> None:
    for number in range(2):
        await operator.put(number)
    assert (await operator.check()).endswith("  2 encrypted")
    operator.key_file.write_text(f"{new_key()}\n{operator.key_file.read_text()}")
    await operator.put(2)
    assert (await operator.check()).endswith("  3 encrypted, 2 with an older key: `agenthall credentials rotate`")
    await operator.run("credentials", "rotate")
    assert (await operator.check()).endswith("  3 encrypted")


async def test_a_key_that_was_lost_is_named(operator: Operator) -> None:
    await operator.put(1)
    operator.key_file.unlink()
    told = await operator.check()
    assert told.startswith("FAIL") and "1 of 1 secrets" in told and f"the file {operator.key_file} (" in told
    assert not operator.key_file.exists()


async def test_a_variable_without_the_key_of_a_secret_is_named(operator: Operator) -> None:
    first, second = new_key(), new_key()
    await operator.put(1, AGENTHALL_SECRET_KEY=first)
    await operator.put(2, AGENTHALL_SECRET_KEY=second)
    told = await operator.check(AGENTHALL_SECRET_KEY=second)
    assert told.startswith("FAIL") and "1 of 2 secrets" in told and "AGENTHALL_SECRET_KEY (" in told
    assert first not in told and second not in told
    assert (await operator.check(AGENTHALL_SECRET_KEY=f"{second},{first}")).startswith("ok")


async def test_a_key_file_that_others_may_read_is_refused(operator: Operator) -> None:
    await operator.put(1)
    operator.key_file.chmod(0o644)
    told = await operator.check()
    assert told.startswith("FAIL") and "chmod 600" in told


async def test_a_database_without_tables_has_none(postgres: str, tmp_path: Path) -> None:
    async with fresh_database(postgres) as url:
        assert (await Operator(url, tmp_path).check()).endswith("nothing is encrypted yet")
