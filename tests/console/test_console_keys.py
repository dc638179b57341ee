"""API keys in the console: a key is created, used, rotated and revoked. Its secret is shown once."""

from __future__ import annotations

import json

import pytest
from browser import DESK, PHONE, open_console
from playwright.async_api import Browser, Page, expect
from servers.live_server import LiveServer, until
from users.console_users import HARBOUR, sign_in
from users.issued_api_keys import issue_api_key


async def opened(page: Page, keys_server: LiveServer) -> None:
    await sign_in(page, await issue_api_key(keys_server.database, HARBOUR, ("admin",)))


async def secret_of(page: Page) -> str:
    dialog = page.get_by_role("dialog", name="Copy the key now")
    secret = await dialog.locator("code").inner_text()
    await dialog.get_by_role("button", name="Done").click()
    await expect(dialog).to_be_hidden()
    return secret


async def status(server: LiveServer, secret: str) -> int:
    async with server.http() as http:
        answer = await http.post("/threads/search", json={}, headers={"x-api-key": secret})
        return int(answer.status_code)


async def test_a_key_is_created_rotated_and_revoked(browser: Browser, keys_server: LiveServer) -> None:
    async with open_console(browser, keys_server.url) as console:
        console.expected_statuses |= {401, 422}
        page = await console.open("keys")
        await opened(page, keys_server)
        await page.get_by_role("button", name="Create a key").click()
        form = page.get_by_role("dialog", name="Create a key")
        await form.get_by_label("Name").fill("of the console")
        await form.get_by_label("Organizations", exact=True).fill("")
        await form.get_by_role("checkbox", name="threads:read").check()
        await form.get_by_role("button", name="Create").click()
        await expect(form.get_by_text("organizations: name at least one")).to_be_visible()
        await form.get_by_label("Organizations", exact=True).fill(HARBOUR)
        await form.get_by_role("button", name="Create").click()
        first = await secret_of(page)
        assert await status(keys_server, first) == 200
        row = page.get_by_role("table", name="Keys").get_by_role("row").filter(has_text="of the console")
        await expect(row).to_contain_text("threads:read")
        await row.get_by_role("button", name="Rotate of the console").click()
        await page.get_by_label("Overlap").select_option("0")
        await page.get_by_role("button", name="Rotate", exact=True).click()
        second = await secret_of(page)
        assert await status(keys_server, second) == 200
        await until(lambda: refused(keys_server, first))
        await row.get_by_role("button", name="Revoke of the console").click()
        await page.get_by_role("button", name="Revoke", exact=True).click()
        await expect(row).to_contain_text("revoked")
        await until(lambda: refused(keys_server, second))
        kept = json.dumps(
            await page.evaluate("() => [{...sessionStorage}, {...localStorage}, document.body.innerHTML]")
        )
        assert first not in kept
        assert second not in kept


async def refused(server: LiveServer, secret: str) -> bool:
    return await status(server, secret) == 401


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
async def test_keys_are_accessible(
    browser: Browser, keys_server: LiveServer, theme: str, viewport: dict[str, int]
) -> None:
    async with open_console(browser, keys_server.url, theme=theme, viewport=viewport) as console:
        console.expected_statuses.add(401)
        page = await console.open("keys")
        await opened(page, keys_server)
        await expect(page.get_by_role("table", name="Keys").get_by_text("active").first).to_be_visible()
        await console.assert_accessible()
        await page.get_by_role("button", name="Create a key").click()
        await expect(page.get_by_role("dialog", name="Create a key")).to_be_visible()
        await console.assert_accessible()
        assert await page.evaluate("() => document.documentElement.scrollWidth") <= viewport["width"]
