"""Connections to MCP servers in the console. How one is made, and what its deletion revokes, is tested in
tests/contract/tools/test_mcp_connections.py; these have tokens that nobody can read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from browser import open_console
from playwright.async_api import Browser, expect
from servers.live_server import LiveServer
from users.console_users import HARBOUR, HOSTILE, sign_in, token

ISSUER = "https://issuer.example.com"
_CONNECT = """
insert into agenthall.mcp_connections (owner_id, url, issuer, scope, sealed, expires_at)
values ($1, $2, $3, $4, convert_to(repeat('unreadable', 5), 'UTF8'), now() + interval '1 hour')
"""


@pytest.fixture
async def database(jwt_server: LiveServer) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(jwt_server.database)
    yield connection
    await connection.execute("delete from agenthall.mcp_connections")
    await connection.close()


async def test_without_connections_the_page_says_how_one_is_made(browser: Browser, shared_server: LiveServer) -> None:
    async with open_console(browser, shared_server.url) as console:
        page = await console.open("connections")
        await expect(page.get_by_role("heading", name="No connections yet")).to_be_visible()
        await console.assert_accessible()


async def test_a_connection_is_deleted_after_a_question(
    browser: Browser, jwt_server: LiveServer, database: Any
) -> None:
    await database.execute(_CONNECT, "ada", f"https://mcp.example.com/{HOSTILE}", ISSUER, HOSTILE)
    await database.execute(_CONNECT, "mia", "https://mcp.example.com/of-mia", ISSUER, "tools")
    urls = "select url from agenthall.mcp_connections order by url"
    async with open_console(browser, jwt_server.url) as console:
        console.expected_statuses |= {401, 403}
        page = await console.open("connections")
        await sign_in(page, token("ada", HARBOUR))
        delete = page.get_by_role("button", name="Delete the connection to")
        await expect(delete).to_have_count(1)
        await delete.click()
        await expect(page.get_by_role("dialog")).to_contain_text(f"https://mcp.example.com/{HOSTILE}")
        await console.assert_accessible()
        await page.get_by_role("button", name="Cancel").click()
        assert len(await database.fetch(urls)) == 2
        await delete.click()
        await page.get_by_role("button", name="Delete and revoke").click()
        await expect(page.get_by_role("heading", name="No connections yet")).to_be_visible()
        assert [row["url"] for row in await database.fetch(urls)] == ["https://mcp.example.com/of-mia"]
