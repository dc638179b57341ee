"""The audit trail in the console: filters in the address, and the entry as JSON."""

from __future__ import annotations

import re

from browser import PHONE, open_console
from playwright.async_api import Browser, expect
from servers.live_server import LiveServer


async def test_the_trail_is_filtered_and_an_entry_opened(browser: Browser, shared_server: LiveServer) -> None:
    sdk = shared_server.sdk()
    made = await sdk.assistants.create("echo", name="audited by the console")
    await sdk.assistants.update(made["assistant_id"], name="renamed by the console")
    await sdk.assistants.delete(made["assistant_id"])
    async with open_console(browser, shared_server.url) as console:
        page = await console.open("audit")
        actions = page.get_by_role("table", name="Audit trail").locator("[data-index] button")
        await page.get_by_label("Resource id").fill(made["assistant_id"])
        await expect(actions).to_have_text(["assistant.delete", "assistant.update", "assistant.create"])
        await page.get_by_label("Action").fill("assistant.update")
        await expect(actions).to_have_text(["assistant.update"])
        await page.get_by_label("Resource type").select_option("assistant")
        await expect(page).to_have_url(re.compile("type=assistant"))
        await page.reload()
        await expect(actions).to_have_text(["assistant.update"])
        await actions.click()
        dialog = page.get_by_role("dialog", name="assistant.update")
        await expect(dialog.get_by_role("listitem").filter(has_text="name")).to_be_visible()
        await expect(dialog.get_by_role("region", name="JSON")).to_contain_text(made["assistant_id"])
        await console.assert_accessible()
        await dialog.get_by_role("button", name="Changes of this resource").click()
        await expect(actions).to_have_count(3)
        await page.get_by_label("Until").fill("2020-01-01T00:00")
        await page.get_by_role("button", name="Clear the filters").click()
        await expect(page).to_have_url(re.compile(r"/audit$"))


async def test_the_trail_fits_on_a_phone(browser: Browser, shared_server: LiveServer) -> None:
    async with open_console(browser, shared_server.url, theme="dark", viewport=PHONE) as console:
        page = await console.open("audit")
        await expect(page.get_by_role("table", name="Audit trail").locator("[data-index]").first).to_be_visible()
        await console.assert_accessible()
        assert await page.evaluate("() => document.documentElement.scrollWidth") <= PHONE["width"]
