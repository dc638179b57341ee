"""The console in Chromium: its address, sign-in, navigation, colours, and the list of agents."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest
from browser import CONSOLE, DESK, PHONE, open_console
from network.prefix_proxy import PrefixProxy
from playwright.async_api import Browser, expect
from servers.live_server import LiveServer
from users.issued_api_keys import issue_api_key

FIRST_LOAD_BYTES = 350_000
TENANT = "0a000000-0000-4000-8000-000000000001"
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


async def test_a_browser_at_the_root_sees_the_console_and_a_program_sees_json(
    browser: Browser, shared_server: LiveServer
) -> None:
    async with open_console(browser, shared_server.url) as console:
        await console.page.goto(shared_server.url)
        await expect(console.page).to_have_url(re.compile(r"\d/console/overview$"))
        for path in ("", "agents", "nowhere/at/all"):
            await console.open(path)
            await expect(console.page.get_by_role("heading", level=1)).to_be_visible()
        await console.page.goto(f"{shared_server.url}/console")
        await expect(console.page.get_by_role("heading", level=1)).to_have_text("Overview")
    async with shared_server.http() as http:
        assert (await http.get("/")).json()["ok"] is True
        assert (await http.get("/", headers={"accept": "application/json"})).json()["ok"] is True
        sent = await http.get("/", headers={"accept": "text/html"})
        assert (sent.status_code, sent.headers["location"]) == (303, "console/")


async def test_the_list_has_every_agent_and_the_search_narrows_it(browser: Browser, shared_server: LiveServer) -> None:
    async with open_console(browser, shared_server.url) as console:
        page = await console.open("agents")
        await expect(page).to_have_title("Agents · Agenthall")
        table = page.get_by_role("table", name="Agents")
        await expect(table.get_by_role("cell", name="counter", exact=True).first).to_be_visible()
        await page.get_by_label("Search by name").fill("echo")
        await expect(table.get_by_role("row")).to_have_count(2)
        await expect(page).to_have_url(re.compile(r"/console/agents\?q=echo"))
        await page.get_by_label("Source").select_option("catalogue")
        await expect(page.get_by_text("No agent matches")).to_be_visible()
        await page.get_by_role("button", name="Clear the filters").click()
        await expect(table.get_by_role("cell", name="counter", exact=True).first).to_be_visible()


async def test_a_hostile_name_is_text(browser: Browser, shared_server: LiveServer) -> None:
    sdk = shared_server.sdk()
    made = await sdk.assistants.create("echo", name=HOSTILE, description=HOSTILE)
    try:
        async with open_console(browser, shared_server.url) as console:
            page = await console.open("agents")
            await expect(page.get_by_role("cell", name=HOSTILE).first).to_be_visible()
            await expect(page).to_have_title("Agents · Agenthall")
    finally:
        await sdk.assistants.delete(made["assistant_id"])


async def test_every_page_works_below_a_prefix(browser: Browser, shared_server: LiveServer) -> None:
    with PrefixProxy(shared_server.url, "/a/prefix") as proxy:
        async with open_console(browser, proxy.url) as console:
            console.expected_statuses.add(400)  # the fleet is that of an organization, and none is chosen
            page = await console.open("")
            links = page.get_by_role("navigation", name="Pages").get_by_role("link")
            await expect(links).to_have_count(10)
            for title in await links.all_inner_texts():
                await page.get_by_role("link", name=title, exact=True).click()
                await expect(page.get_by_role("heading", level=1)).to_have_text(title)
                await page.reload()
                await expect(page.get_by_role("heading", level=1)).to_have_text(title)
            await console.open("agents")
            await expect(page.get_by_role("cell", name="counter", exact=True).first).to_be_visible()


async def test_a_server_with_keys_asks_for_one_and_the_tab_forgets_it(
    browser: Browser, keys_server: LiveServer
) -> None:
    key = await issue_api_key(keys_server.database, TENANT)
    async with open_console(browser, keys_server.url) as console:
        console.expected_statuses.add(401)
        page = await console.open("agents")
        await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        await console.assert_accessible()
        await page.get_by_label("API key", exact=True).fill("not a key")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_text("The server refused this key.")).to_be_visible()
        await page.get_by_label("API key", exact=True).fill(key)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("table", name="Agents")).to_be_visible()
        await page.reload()
        await expect(page.get_by_role("table", name="Agents")).to_be_visible()
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        assert key not in json.dumps(await page.evaluate("() => [{...sessionStorage}, {...localStorage}]"))


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
async def test_pages_are_accessible(
    browser: Browser, shared_server: LiveServer, theme: str, viewport: dict[str, int]
) -> None:
    async with open_console(browser, shared_server.url, theme=theme, viewport=viewport) as console:
        console.expected_statuses.add(400)  # the fleet is that of an organization, and none is chosen
        page = await console.open("agents")
        await expect(page.get_by_role("cell", name="counter", exact=True).first).to_be_visible()
        await console.assert_accessible()
        width = await page.evaluate("() => document.documentElement.scrollWidth")
        assert width <= viewport["width"]
        if viewport is PHONE:
            await page.get_by_role("button", name="Open the navigation").click()
        await expect(page.get_by_role("link", name="Fleet")).to_be_visible()
        await console.assert_accessible()
        await page.get_by_role("link", name="Fleet").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Fleet")
        await console.assert_accessible()


async def test_the_choice_of_colours_outlives_a_reload(browser: Browser, shared_server: LiveServer) -> None:
    async with open_console(browser, shared_server.url, theme="dark") as console:
        page = await console.open("agents")
        await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        await page.get_by_role("button", name="Colours: system").click()
        await expect(page.locator("html")).to_have_attribute("data-theme", "light")
        await page.reload()
        await expect(page.locator("html")).to_have_attribute("data-theme", "light")


async def test_rows_are_reached_by_keyboard(browser: Browser, shared_server: LiveServer) -> None:
    async with open_console(browser, shared_server.url) as console:
        page = await console.open("agents")
        rows = page.locator("[data-index]")
        await rows.first.focus()
        await page.keyboard.press("ArrowDown")
        await expect(rows.nth(1)).to_be_focused()
        await page.keyboard.press("End")
        await expect(rows.last).to_be_focused()


async def test_an_unknown_address_of_the_console_says_so(browser: Browser, shared_server: LiveServer) -> None:
    async with open_console(browser, shared_server.url) as console:
        page = await console.open("nowhere/at/all")
        await expect(page.get_by_role("heading", name="Page not found")).to_be_visible()


async def test_the_first_load_of_every_page_is_within_its_budget(browser: Browser) -> None:
    dist = CONSOLE / "dist"
    manifest = json.loads((dist / "manifest.json").read_text())
    entry = next(name for name, chunk in manifest.items() if chunk.get("isEntry"))
    pages = [name for name in manifest if re.match(r"src/pages/\w+/\w+Page\.tsx$", name)]
    assert pages
    sizes = {page: _gzipped(dist, _files(manifest, {entry, page})) for page in pages}
    assert {page: size for page, size in sizes.items() if size > FIRST_LOAD_BYTES} == {}


def _files(manifest: dict[str, dict[str, object]], names: set[str]) -> set[str]:
    """The files of chunks and of all that they import at once."""
    seen: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += manifest[name].get("imports", [])  # type: ignore[operator]
    css = {file for name in seen for file in manifest[name].get("css", [])}  # type: ignore[attr-defined]
    return {str(manifest[name]["file"]) for name in seen} | css


def _gzipped(dist: Path, files: set[str]) -> int:
    return sum(len(gzip.compress((dist / file).read_bytes())) for file in files)
