"""The overview in Chromium: numbers of this moment, plots with their gaps, and a page with less for others."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
from browser import DESK, PHONE, open_console
from playwright.async_api import Browser, Page, expect
from servers.live_server import LiveServer
from users.issued_api_keys import issue_api_key

from .fleet_server import FleetServer, open_fleet_server

TENANT = "0a000000-0000-4000-8000-000000000001"


@pytest.fixture(scope="module")
async def server(
    browser: Browser, postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[FleetServer]:
    async with open_fleet_server(postgres, template, tmp_path_factory.mktemp("overview")) as opened:
        yield opened


async def _figure(page: Page, name: str, text: str) -> None:
    await expect(page.locator("dl > div").filter(has_text=name).first).to_contain_text(text)


async def test_the_numbers_are_those_of_the_server(browser: Browser, server: FleetServer) -> None:
    async with open_console(browser, server.url) as console, server.instance("seen-bot", "seen-1"):
        page = await console.open("overview")
        await _figure(page, "Waiting", "the queue is empty")
        await _figure(page, "Open streams", "of all web processes")
        await expect(page.get_by_text("healthy", exact=True)).to_be_visible()
        await expect(page.get_by_text(re.compile(r"^\d+ of \d+$"))).to_be_visible()
        link = page.get_by_role("link", name="Grafana")
        await expect(link).to_have_attribute("href", "https://grafana.example/d/agenthall")
        await expect(link).to_have_attribute("rel", "noreferrer noopener")
        await page.get_by_role("button", name="JSON").click()
        await expect(page.get_by_role("dialog").get_by_text('"open_streams"').first).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
async def test_the_overview_is_accessible_and_has_its_plots(
    browser: Browser, server: FleetServer, theme: str, viewport: dict[str, int]
) -> None:
    async with open_console(browser, server.url, theme=theme, viewport=viewport) as console:
        page = await console.open("overview")
        await expect(page.get_by_role("img", name=re.compile("in the last hour"))).to_have_count(6)
        await expect(page.locator("canvas")).to_have_count(6)
        await console.assert_accessible()
        assert await page.evaluate("() => document.documentElement.scrollWidth") <= viewport["width"]
        await page.get_by_role("button", name="Day").click()
        await expect(page).to_have_url(re.compile(r"window=day"))
        await expect(page.get_by_role("img", name=re.compile("in the last day"))).to_have_count(6)


async def test_a_caller_without_metrics_sees_what_is_theirs(browser: Browser, keys_server: LiveServer) -> None:
    key = await issue_api_key(keys_server.database, TENANT)
    async with open_console(browser, keys_server.url) as console:
        console.expected_statuses |= {401, 403}
        page = await console.open("overview")
        await page.get_by_label("API key", exact=True).fill(key)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_text("What is yours.")).to_be_visible()
        await expect(page.get_by_text("Conversations at rest")).to_be_visible()
        await expect(page.locator("canvas")).to_have_count(0)
        await expect(page.locator("main").get_by_role("link", name="Agents")).to_be_visible()
        await console.assert_accessible()
