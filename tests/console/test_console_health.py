"""The health page in Chromium: the checks of doctor for administrators, and readiness for all."""

from __future__ import annotations

import re

import pytest
from browser import DESK, PHONE, open_console
from playwright.async_api import Browser, expect
from servers.live_server import LiveServer
from users.issued_api_keys import issue_api_key

TENANT = "0a000000-0000-4000-8000-000000000001"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
async def test_an_administrator_sees_the_checks_of_doctor(
    browser: Browser, shared_server: LiveServer, theme: str, viewport: dict[str, int]
) -> None:
    async with open_console(browser, shared_server.url, theme=theme, viewport=viewport) as console:
        page = await console.open("health")
        await expect(page.get_by_text("ready", exact=True)).to_be_visible()
        await expect(page.get_by_text(re.compile(r"^(all \d+ passed|\d+ of \d+ failed)$"))).to_be_visible()
        await expect(page.get_by_role("img", name="Passed").first).to_be_visible()
        await expect(page.get_by_role("heading", name="Agent sync")).to_be_visible()
        await console.assert_accessible()
        assert await page.evaluate("() => document.documentElement.scrollWidth") <= viewport["width"]


async def test_others_see_whether_the_server_is_ready(browser: Browser, keys_server: LiveServer) -> None:
    key = await issue_api_key(keys_server.database, TENANT)
    async with open_console(browser, keys_server.url) as console:
        console.expected_statuses |= {401, 403}
        page = await console.open("overview")
        await page.get_by_label("API key", exact=True).fill(key)
        await page.get_by_role("button", name="Sign in").click()
        await page.get_by_role("link", name="Health", exact=True).first.click()
        await expect(page.get_by_text("ready", exact=True)).to_be_visible()
        await expect(page.get_by_role("heading", name="Checks")).to_have_count(0)
        await console.assert_accessible()
