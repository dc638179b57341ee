"""The API reference of a real server, in Chromium: operations are tried, and nothing comes from elsewhere."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from browser import open_browser
from databases import fresh_database
from deadlines import DEADLINE
from playwright.async_api import Browser, Page
from servers.live_server import LiveServer, live_server
from users.issued_api_keys import issue_api_key

TENANT = "0a000000-0000-4000-8000-000000000001"
SEARCH = "#operations-Assistants-post_assistants_search"


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with open_browser() as found:
        yield found


@pytest.fixture(scope="module")
async def server(postgres: str, template: str) -> AsyncIterator[LiveServer]:
    async with fresh_database(postgres, template) as url, live_server(url, workers=0, AUTH_MODE="keys") as running:
        yield running


class Visit:
    """A page with what it asked for and what it complained of."""

    def __init__(self, page: Page, server: LiveServer, prefix: str = "") -> None:
        self.page, self.server, self.prefix = page, server, prefix
        self.hosts: set[str] = set()
        self.complaints: list[str] = []
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        page.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    async def open(self, path: str) -> None:
        if self.prefix:
            await self.page.route(f"**{self.prefix}/**", self._as_a_proxy)
        await self.page.goto(f"{self.server.url}{self.prefix}{path}")
        await self.page.wait_for_selector(SEARCH)

    async def _as_a_proxy(self, route: object) -> None:
        url = route.request.url.replace(self.prefix, "", 1)  # type: ignore[attr-defined]
        await route.continue_(url=url)  # type: ignore[attr-defined]

    async def sign_in(self, key: str) -> None:
        await self.page.click(".btn.authorize")
        await self.page.fill("#api_key_value", key)
        await self.page.click(".auth-container:has(#api_key_value) button.authorize")
        await self.page.click(".btn-done")

    async def execute(self) -> str:
        """Try the search for assistants; return the status of the answer."""
        await self.page.click(f"{SEARCH} .opblock-summary-control")
        await self.page.fill(f"{SEARCH} textarea.body-param__text", '{"limit": 1}')
        await self.page.click(f"{SEARCH} button.execute")
        shown = self.page.locator(f"{SEARCH} .live-responses-table .response-col_status").nth(1)
        return (await shown.inner_text()).split()[0]


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    context = await browser.new_context()
    context.set_default_timeout(DEADLINE * 1000)
    yield await context.new_page()
    await context.close()


async def test_an_operation_is_refused_without_a_key_and_answered_with_one(page: Page, server: LiveServer) -> None:
    visit = Visit(page, server)
    await visit.open("/docs")
    assert await visit.execute() == "401"
    await visit.sign_in(await issue_api_key(server.database, TENANT))
    await page.click(f"{SEARCH} button.execute")
    await page.wait_for_selector(f"{SEARCH} .live-responses-table .response-col_status:has-text('200')")
    assert visit.hosts == {f"127.0.0.1:{server.port}"}
    assert [each for each in visit.complaints if "401" not in each] == []


async def test_it_works_below_the_prefix_of_a_proxy(page: Page, server: LiveServer) -> None:
    visit = Visit(page, server, prefix="/hall")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(urlsplit(request.url).path))
    await visit.open("/docs")
    await visit.sign_in(await issue_api_key(server.database, TENANT))
    assert await visit.execute() == "200"
    assert all(each.startswith("/hall/") for each in asked) and "/hall/assistants/search" in asked
    assert visit.complaints == []


async def test_an_operation_that_is_not_offered_is_marked(page: Page, server: LiveServer) -> None:
    await Visit(page, server).open("/docs")
    marked = page.locator(".opblock-summary", has_text=re.compile(r"not offered yet"))
    assert await marked.count() > 0


async def test_it_follows_the_dark_mode_of_the_system(browser: Browser, server: LiveServer) -> None:
    context = await browser.new_context(color_scheme="dark")
    context.set_default_timeout(DEADLINE * 1000)
    page = await context.new_page()
    await Visit(page, server).open("/docs")
    assert await page.locator("html.dark-mode").count() == 1
    await page.emulate_media(color_scheme="light")
    await page.wait_for_selector("html:not(.dark-mode)")
    await context.close()
