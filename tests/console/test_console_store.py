"""The store in the console: namespaces, search, and items that are created, edited and deleted."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
from browser import DESK, PHONE, open_console
from playwright.async_api import Browser, Locator, Page, expect
from servers.live_server import LiveServer

ROOT = "console-store"


@pytest.fixture
async def stored(shared_server: LiveServer) -> AsyncIterator[LiveServer]:
    """Three items in two namespaces below `ROOT`."""
    store = shared_server.sdk().store
    items = [(("ann", "notes"), "first", 1), (("ann", "notes"), "second", 2), (("bob",), "third", 3)]
    for below, key, size in items:
        await store.put_item([ROOT, *below], key, {"size": size, "text": f"the {key} note"}, index=False)
    yield shared_server
    for item in (await store.search_items([ROOT], limit=100))["items"]:
        await store.delete_item(item["namespace"], item["key"])


def keys(page: Page) -> Locator:
    return page.get_by_role("table", name="Items").locator("[data-index] button")


async def test_namespaces_lead_to_items_and_back(browser: Browser, stored: LiveServer) -> None:
    async with open_console(browser, stored.url) as console:
        page = await console.open("store")
        for label in (ROOT, "ann", "notes"):
            await page.get_by_role("button", name=label, exact=True).first.click()
        await expect(page).to_have_url(re.compile(rf"\?ns={ROOT}\.ann\.notes$"))
        await expect(keys(page)).to_have_text(["second", "first"])
        await page.go_back()
        await page.get_by_role("navigation", name="Namespace").get_by_role("button", name=ROOT).click()
        await expect(keys(page)).to_have_text(["second", "first", "third"])


async def test_items_are_found_by_text_and_by_filter(browser: Browser, stored: LiveServer) -> None:
    async with open_console(browser, stored.url) as console:
        page = await console.open(f"store?ns={ROOT}")
        await page.get_by_label("Search items").fill("THE THIRD")
        await expect(keys(page)).to_have_text(["third"])
        await page.get_by_label("Search items").fill("")
        await page.get_by_label("Filter").fill('{"size": {"$lt": 2}')
        await expect(page.get_by_text("A filter is a JSON object.")).to_be_visible()
        await page.get_by_label("Filter").fill('{"size": {"$lt": 2}}')
        await expect(keys(page)).to_have_text(["first"])
        await page.reload()
        await expect(keys(page)).to_have_text(["first"])
        await page.get_by_label("Filter").fill('{"size": 9}')
        await page.get_by_role("button", name="Clear the search").click()
        await expect(keys(page)).to_have_count(3)


async def test_a_search_by_meaning_without_an_index_says_what_to_set(browser: Browser, stored: LiveServer) -> None:
    async with open_console(browser, stored.url) as console:
        console.expected_statuses.add(422)
        page = await console.open(f"store?ns={ROOT}&by=meaning&q=notes")
        await expect(page.get_by_role("alert")).to_contain_text("AGENTHALL_STORE_INDEX")


async def test_an_item_is_created_edited_and_deleted(browser: Browser, stored: LiveServer) -> None:
    store = stored.sdk().store
    async with open_console(browser, stored.url) as console:
        console.expected_statuses.add(422)
        page = await console.open(f"store?ns={ROOT}")
        await page.get_by_role("button", name="Create an item").click()
        form = page.get_by_role("dialog", name="Create an item")
        await form.get_by_label("Namespace").fill("langgraph")
        await form.get_by_label("Key").fill("made here")
        await form.get_by_label("Value").fill('{"made": 1')
        await expect(form.get_by_role("button", name="Save")).to_be_disabled()
        await form.get_by_label("Value").fill('{"made": 1}')
        await form.get_by_role("button", name="Save").click()
        await expect(form.get_by_text('Root label for namespace cannot be "langgraph"')).to_be_visible()
        await form.get_by_label("Namespace").fill(f"{ROOT}.new")
        await form.get_by_role("button", name="Save").click()
        await page.get_by_role("button", name="made here").click()
        await expect(page.get_by_role("region", name="JSON")).to_contain_text('"made": 1')
        await page.get_by_role("button", name="Edit").click()
        edited = page.get_by_role("dialog", name="Edit an item")
        await expect(edited.get_by_label("Key")).to_be_disabled()
        await edited.get_by_label("Value").fill('{"made": 2}')
        await edited.get_by_role("button", name="Save").click()
        await expect(edited).to_be_hidden()
        assert (await store.get_item([ROOT, "new"], "made here"))["value"] == {"made": 2}
        await page.get_by_role("button", name="made here").click()
        await page.get_by_role("button", name="Delete").click()
        await page.get_by_role("dialog", name="Delete this item?").get_by_role("button", name="Delete").click()
        await expect(keys(page)).to_have_count(3)
        assert await store.get_item([ROOT, "new"], "made here") is None


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
async def test_the_store_is_accessible(
    browser: Browser, stored: LiveServer, theme: str, viewport: dict[str, int]
) -> None:
    async with open_console(browser, stored.url, theme=theme, viewport=viewport) as console:
        page = await console.open(f"store?ns={ROOT}")
        await expect(keys(page)).to_have_count(3)
        await console.assert_accessible()
        await page.get_by_role("button", name="first").click()
        await expect(page.get_by_role("dialog", name="first")).to_be_visible()
        await console.assert_accessible()
        assert await page.evaluate("() => document.documentElement.scrollWidth") <= viewport["width"]
