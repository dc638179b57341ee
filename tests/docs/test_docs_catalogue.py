"""The guide to a catalogue of one's own works as it stands: its SQL is run, and an edit of its table reaches the
assistant."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from databases import fresh_database
from doc_pages import DOCS, blocks
from servers.live_server import live_server, until

from robyn_server.agent_sync import is_feed_installed, parse_catalogue_source, probe_catalogue

PAGE = DOCS / "how-to" / "bring-your-own-catalogue.md"
ROLE = f"reader_{secrets.token_hex(4)}"
"""In place of the guide's: a role belongs to the whole PostgreSQL, which other tests share."""

*SETUP, EDIT = (statements.replace("agenthall_reader", ROLE) for statements in blocks(PAGE, "sql"))
SOURCE = parse_catalogue_source("agenthall_catalogue.agents")
BOT = "b0000000-0000-4000-8000-000000000001"


@pytest.fixture(scope="module")
async def product(postgres: str, template: str) -> AsyncIterator[str]:
    """A database with the server's schema and the guide's tables, view, login and triggers."""
    async with fresh_database(postgres, template) as url:
        connection = await asyncpg.connect(url)
        for statements in SETUP:
            await connection.execute(statements)
        yield url
        await connection.execute(f"drop owned by {ROLE}; drop role {ROLE}")
        await connection.close()


def as_reader(url: str) -> str:
    """The same database with the guide's login."""
    login, password = re.search(r"create role (\w+) login password '([^']+)'", "\n".join(SETUP)).groups()  # type: ignore[union-attr]
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{login}:{password}@{parts.netloc.rpartition('@')[2]}"))


async def test_the_login_can_read_the_view_and_its_triggers_are_recognised(product: str) -> None:
    connection = await asyncpg.connect(as_reader(product))
    try:
        contract = await probe_catalogue(connection, SOURCE)
        assert contract.problems == []
        assert await is_feed_installed(connection, SOURCE)
    finally:
        await connection.close()


async def test_a_row_is_served_and_an_edit_reaches_the_assistant(product: str) -> None:
    settings = {
        "CATALOGUE_DATABASE_URL": as_reader(product),
        "AGENT_SYNC_SCOPE": "all",
        "AGENT_SYNC_CATALOGUE": "agenthall_catalogue.agents",
        "AGENT_SYNC_EVERY": "600",
    }
    async with live_server(product, workers=0, **settings) as server, server.http() as client:

        async def prompt() -> str:
            answer = await client.get(f"/assistants/{BOT}")
            return str(answer.json().get("config", {}).get("configurable", {}).get("system_prompt"))

        assert await prompt() == "You greet people in one sentence."
        connection = await asyncpg.connect(product)
        await connection.execute(EDIT)
        await connection.close()

        async def is_edited() -> bool:
            return await prompt() == "You greet people in two sentences."

        await until(is_edited)
