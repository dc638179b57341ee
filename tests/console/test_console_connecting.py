"""A user connects to an MCP server in the browser: on the page of connections, and when an agent asks for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from uuid import UUID

import asyncpg
import pytest
from browser import open_console
from catalogues.catalogue_writer import TABLES, CatalogueWriter
from commands.command_line import agenthall
from databases import fresh_database
from playwright.async_api import Browser, Locator, Page, expect
from remote.authorization_server import authorization_server
from remote.guarded_mcp import GuardedMcp
from servers.live_server import LiveServer, live_server
from users.console_users import HARBOUR, MEADOW, SECRET, sign_in, token

from robyn_server.credentials.key_ring import new_key

KEY = new_key()


@pytest.fixture(scope="module")
def vault() -> Iterator[GuardedMcp]:
    """An MCP server that takes tokens of its authorization server alone."""
    with authorization_server(SECRET) as issuer:
        running = GuardedMcp(issuer)
        yield running
        running.close()


@pytest.fixture(scope="module")
async def server(browser: Browser, postgres: str, template: str, vault: GuardedMcp) -> AsyncIterator[LiveServer]:
    async with fresh_database(postgres, template) as url:
        done = agenthall("credentials", "put", vault.url, "--connect", DATABASE_URL=url, AGENTHALL_SECRET_KEY=KEY)
        assert done.returncode == 0, done.stderr
        connection = await asyncpg.connect(url)
        await connection.execute(TABLES)
        writer = CatalogueWriter(connection)
        agent_id = await writer.add_agent(organization_id=HARBOUR, name="Vault Keeper")
        await writer.add_tool(UUID(agent_id), vault.url, "fingerprint", auth_required=True)
        await connection.close()
        settings = {
            "AUTH_MODE": "jwt",
            "AUTH_JWT_SECRET": SECRET,
            "AGENT_SYNC_SCOPE": "all",
            "AGENTHALL_SECRET_KEY": KEY,
        }
        async with live_server(url, **settings) as running:
            yield running


async def allow_access(page: Page, link: Locator) -> None:
    """Follow the link to the authorization server, which lets everybody in and sends them back."""
    async with page.expect_popup() as opening:
        await link.click()
    opened = await opening.value
    await expect(opened.get_by_text("is now connected to")).to_be_visible()
    await opened.close()
    await page.bring_to_front()


async def test_a_user_connects_on_the_page_of_connections(
    browser: Browser, server: LiveServer, vault: GuardedMcp
) -> None:
    async with open_console(browser, server.url) as console:
        console.expected_statuses |= {401, 403}
        page = await console.open("connections")
        await sign_in(page, token("ann", HARBOUR))
        await expect(page.get_by_role("heading", name="No connections yet")).to_be_visible()
        await page.get_by_role("button", name=f"Connect to {vault.url}").click()
        await console.assert_accessible()
        await allow_access(page, page.get_by_role("link", name="Continue there"))
        await page.evaluate("window.dispatchEvent(new Event('visibilitychange'))")  # a headless tab is always in front
        await expect(page.get_by_role("button", name=f"Delete the connection to {vault.url}")).to_be_visible()
        await expect(page.get_by_text("Connected", exact=True)).to_be_visible()
        await console.assert_accessible()


async def test_a_member_of_several_organizations_chooses_one_first(
    browser: Browser, server: LiveServer, vault: GuardedMcp
) -> None:
    async with open_console(browser, server.url) as console:
        console.expected_statuses |= {401, 403}
        page = await console.open("connections")
        await sign_in(page, token("cy", HARBOUR, MEADOW))
        await expect(page.get_by_text("Choose an organization to see the servers")).to_be_visible()
        await page.get_by_label("Organization", exact=True).select_option(MEADOW)
        await expect(page.get_by_role("button", name=f"Connect to {vault.url}")).to_be_visible()


async def test_a_user_connects_when_an_agent_asks(browser: Browser, server: LiveServer, vault: GuardedMcp) -> None:
    async with open_console(browser, server.url) as console:
        console.expected_statuses |= {401, 403}
        page = await console.open("agents")
        await sign_in(page, token("bea", HARBOUR))
        await page.get_by_role("link", name="Vault Keeper").click()
        await page.get_by_role("link", name="Chat", exact=True).click()
        await page.get_by_label("Message", exact=True).fill("use the tool fingerprint {}")
        await page.get_by_role("button", name="Send").click()
        form = page.get_by_role("form", name="Questions of the agent")
        await expect(form.get_by_text(vault.url)).to_be_visible()
        await console.assert_accessible()
        await allow_access(page, form.get_by_role("link", name="Connect"))
        await form.get_by_role("button", name="Continue").click()
        await expect(form).to_be_hidden()
        await expect(page.locator("details").filter(has_text="fingerprint").get_by_text("done")).to_be_visible()
