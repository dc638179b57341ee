"""`agenthall catalogue install` and what `agenthall doctor` says of the catalogue, as processes."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest
from catalogues.catalogue_writer import TABLES, CatalogueWriter
from commands.command_line import agenthall

SCOPE: dict[str, Any] = {"AGENT_SYNC_SCOPE": "all", "AGENTHALL_DEFAULT_MODEL": "offline:demo"}


def install(*arguments: str, **environment: Any) -> str:
    said = agenthall("catalogue", "install", "--print", *arguments, **environment)
    assert said.returncode == 0, said.stderr
    return said.stdout


def test_the_view_is_printed_under_the_name_that_the_settings_give() -> None:
    text = install("--view", "--role", "reader", AGENT_SYNC_CATALOGUE="app.agents")
    assert "create or replace view app.agents as" in text
    assert "grant select on app.agents to reader;" in text
    assert "update (langgraph_assistant_id) on public.agents to reader;" in text
    assert "{" not in text.replace("{tool", ""), "a part that is not filled in"


@pytest.mark.parametrize("form", ["--view", "--grants"])
def test_where_nothing_is_written_back_no_update_is_granted(form: str) -> None:
    text = install(form, AGENT_SYNC_WRITE_BACK="false")
    assert "nothing is written" in text
    assert "update (" not in text


@pytest.mark.parametrize(
    ("arguments", "environment", "named"),
    [
        (("--view", "--grants"), {}, "name one of them"),
        (("--view", "--role", "x; drop"), {}, "--role"),
        (("--view",), {"AGENT_SYNC_CATALOGUE": "agents"}, "AGENT_SYNC_CATALOGUE"),
        ((), {"AGENT_SYNC_CATALOGUE": "app.agents"}, "agenthall catalogue map"),
        (("--grants",), {"AGENT_SYNC_CATALOGUE": "app.agents"}, "agenthall catalogue map"),
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: tuple[str, ...], environment: dict[str, Any], named: str) -> None:
    said = agenthall("catalogue", "install", "--print", *arguments, **environment)
    assert (said.returncode, named in said.stderr) == (2, True), said.stderr


async def test_the_printed_view_serves_and_doctor_tells_of_it_and_of_the_last_pass(database: str) -> None:
    connection = await asyncpg.connect(database)
    environment: dict[str, Any] = {"DATABASE_URL": database, "AGENT_SYNC_CATALOGUE": "app.agents", **SCOPE}
    try:
        await connection.execute(TABLES)
        missing = agenthall("doctor", "--port", "0", **environment).stdout
        assert "view app.agents is missing" in missing
        assert "none yet" in missing
        text = install("--view", AGENT_SYNC_CATALOGUE="app.agents")
        await connection.execute(text.partition("-- The login of")[0] + "commit;")  # roles outlive a database
        await CatalogueWriter(connection).add_agent(name="Ada")
        assert "1 created" in agenthall("sync", **environment).stdout
        told = agenthall("doctor", "--port", "0", **environment).stdout
        assert "app.agents can be read; no triggers, edits are found by updated_at" in told
        assert "scope all: " in told
        assert "1 total, 1 created" in told
    finally:
        await connection.close()
