"""The tutorial about a product's own tables works as it stands: its mapping is what the command says, and each edit is
live."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import AsyncIterator

import asyncpg
import pytest
from databases import fresh_database
from doc_pages import DOCS, blocks
from servers.live_server import live_server, until

PAGE = DOCS / "tutorials" / "own-tables.md"
TABLES, EDIT = blocks(PAGE, "sql")
SHOWN = next(block for block in blocks(PAGE, "") if block.startswith("crm.copilots →"))


@pytest.fixture
async def product(postgres: str, template: str) -> AsyncIterator[tuple[str, asyncpg.Connection[object]]]:
    role = f"reader_{secrets.token_hex(4)}"
    async with fresh_database(postgres, template) as url:
        connection = await asyncpg.connect(url)
        await connection.execute(TABLES)
        command = [sys.executable, "-m", "robyn_server", "catalogue", "map", "--yes", "--apply", "--role", role]
        environment = {"CATALOGUE_DATABASE_URL": url, "PATH": ""}
        said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert SHOWN.strip() in said.stderr
        yield url, connection
        await connection.execute(f"drop owned by {role}; drop role {role}")
        await connection.close()


FURTHER = {
    "EDIT": (EDIT, ("system_prompt", "You close deals in two sentences.")),
    "model": ("update crm.llms set model_name = 'other'", ("model_name", "offline:other")),
    "server": (
        "update crm.mcp_servers set url = 'http://127.0.0.1:2998/mcp'",
        ("mcp_config", {"servers": [{"url": "http://127.0.0.1:2998/mcp", "tools": ["find_customer"]}]}),
    ),
    "tool": ("delete from crm.copilot_tools", ("mcp_config", None)),
}


async def test_copilots_answer_and_edits_behind_them_are_live(
    product: tuple[str, asyncpg.Connection[object]],
) -> None:
    url, connection = product
    settings = {
        "AGENT_SYNC_SCOPE": "all",
        "AGENT_SYNC_CATALOGUE": "agenthall_catalogue.agents",
        "AGENT_SYNC_EVERY": "3600",
    }
    async with live_server(url, workers=0, **settings) as server, server.http() as client:

        async def configurable() -> dict[str, object]:
            found = (await client.post("/assistants/search", json={"name": "Closer"})).json()
            return dict(found[0]["config"]["configurable"]) if found else {}

        assert (await configurable())["system_prompt"] == "You close deals in one sentence."
        names = [each["name"] for each in (await client.post("/assistants/search", json={})).json()]
        assert sorted(name for name in names if name in {"Closer", "Helper", "Retired"}) == ["Closer", "Helper"]
        for edit, (key, value) in FURTHER.values():
            await connection.execute(edit)

            async def is_live(key: str = key, value: object = value) -> bool:
                found = (await configurable()).get(key)
                return found == value if not isinstance(value, dict) else _servers(found) == _servers(value)

            await until(is_live)


def _servers(found: object) -> list[tuple[str, list[str]]]:
    servers = found["servers"] if isinstance(found, dict) else []
    return [(each["url"], list(each["tools"])) for each in servers]
