"""Connections to MCP servers in the console. The answers with connections are the browser's: the flow that makes one,
and what its deletion revokes, is in tests/contract/test_mcp_connections.py."""

from __future__ import annotations

from browser import open_console
from console_users import HOSTILE
from live_server import LiveServer
from playwright.async_api import Browser, Route, expect

CONNECTION = {
    "connection_id": "0c000000-0000-4000-8000-000000000001",
    "url": "https://mcp.example.com/" + HOSTILE,
    "organization_id": None,
    "issuer": "https://issuer.example.com",
    "scope": HOSTILE,
    "expires_at": "2030-01-01T00:00:00+00:00",
    "created_at": "2026-01-01T00:00:00+00:00",
    "updated_at": "2026-01-01T00:00:00+00:00",
}


async def test_without_connections_the_page_says_how_one_is_made(browser: Browser, shared_server: LiveServer) -> None:
    async with open_console(browser, shared_server.url) as console:
        page = await console.open("connections")
        await expect(page.get_by_role("heading", name="No connections yet")).to_be_visible()
        await console.assert_accessible()


async def test_a_connection_is_deleted_after_a_question(browser: Browser, shared_server: LiveServer) -> None:
    left, deleted = [CONNECTION], []

    async def answer(route: Route) -> None:
        if route.request.method == "DELETE":
            deleted.append(route.request.url.rsplit("/", 1)[-1])
            left.clear()
            await route.fulfill(status=204)
        else:
            await route.fulfill(json=left)

    async with open_console(browser, shared_server.url) as console:
        await console.page.route(f"{shared_server.url}/connections**", answer)
        page = await console.open("connections")
        await page.get_by_role("button", name="Delete the connection to").click()
        await expect(page.get_by_role("dialog")).to_contain_text(CONNECTION["url"] or "")
        await console.assert_accessible()
        await page.get_by_role("button", name="Cancel").click()
        assert deleted == []
        await page.get_by_role("button", name="Delete the connection to").click()
        await page.get_by_role("button", name="Delete and revoke").click()
        await expect(page.get_by_role("heading", name="No connections yet")).to_be_visible()
        assert deleted == [CONNECTION["connection_id"]]
