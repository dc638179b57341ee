"""The page of an agent, and agent sync, in Chromium on a server with a catalogue."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import pytest
from browser import DESK, PHONE, open_console
from catalogues.catalogue_tables import TABLES, CatalogueEditor
from databases import prepared_database
from playwright.async_api import Browser, Page, expect
from remote.mcp_process import McpProcess
from servers.live_server import LiveServer, live_server, until
from users.issued_api_keys import issue_api_key

HOSTILE = "<img src=x onerror=\"document.title='owned'\"> & <script>document.title='owned'</script>"
PROMPT = f"You know the tides.\nSay when a boat may leave. {HOSTILE}"
NOBODY = "http://127.0.0.1:9/mcp"


@dataclass(frozen=True)
class Harbour:
    """A server with an agent of the catalogue, which has two servers of tools; one of them is down."""

    server: LiveServer
    catalogue: CatalogueEditor
    agent_id: UUID
    tools_url: str


@pytest.fixture(scope="module")
async def harbour(browser: Browser, postgres: str, template: str) -> AsyncIterator[Harbour]:
    with McpProcess("toolbox.py") as tools:
        async with (
            prepared_database(postgres, template, TABLES.format(assistant_id="text")) as url,
            asyncpg.create_pool(url, min_size=1, max_size=2) as pool,
        ):
            catalogue = CatalogueEditor(pool)
            agent_id = await catalogue.add_agent(name="Harbour master", description=HOSTILE, system_prompt=PROMPT)
            await catalogue.add_tool(agent_id, f"{tools.url}/mcp", "echo")
            await catalogue.add_tool(agent_id, NOBODY, "sail")
            async with live_server(url, AGENT_SYNC_SCOPE="all", AGENT_SYNC_EVERY="3600") as server:
                await is_served(server, agent_id, 1)
                yield Harbour(server, catalogue, agent_id, f"{tools.url}/mcp")


async def is_served(server: LiveServer, agent_id: UUID, version: int) -> None:
    async with server.http() as http:

        async def has_version() -> bool:
            found = await http.get(f"/assistants/{agent_id}")
            return found.status_code == 200 and found.json()["version"] >= version

        await until(has_version)


async def chosen_tab(page: Page, name: str) -> None:
    await page.get_by_role("tab", name=name, exact=True).click()
    await expect(page.get_by_role("tab", name=name, exact=True)).to_have_attribute("data-state", "active")


async def test_a_row_of_the_list_leads_to_the_agent_and_its_prompt(browser: Browser, harbour: Harbour) -> None:
    async with open_console(browser, harbour.server.url) as console:
        page = await console.open("agents")
        await page.get_by_role("link", name="Harbour master").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Harbour master")
        await expect(page).to_have_url(re.compile(rf"/console/agents/{harbour.agent_id}"))
        await expect(page.get_by_text("You know the tides.")).to_contain_text(HOSTILE)
        await expect(page.get_by_text("Catalogue", exact=True)).to_be_visible()
        await expect(page.get_by_role("link", name="Chat")).to_have_attribute(
            "href", re.compile(rf"/console/conversations/new\?agent={harbour.agent_id}")
        )
        await page.get_by_role("button", name="JSON").click()
        await expect(page.get_by_role("dialog")).to_contain_text('"system_prompt"')
        await expect(page).to_have_title("Harbour master · Agenthall")


async def test_tools_stand_below_their_server_with_its_health(browser: Browser, harbour: Harbour) -> None:
    async with open_console(browser, harbour.server.url) as console:
        page = await console.open(f"agents/{harbour.agent_id}?tab=tools")
        await expect(page.get_by_text(harbour.tools_url, exact=True)).to_be_visible()
        await expect(page.get_by_text("Reachable", exact=True)).to_be_visible()
        await expect(page.get_by_text(NOBODY, exact=True)).to_be_visible()
        await expect(page.get_by_text("Unreachable", exact=True)).to_be_visible()
        await page.locator("summary", has_text="echo").first.click()
        await expect(page.get_by_label("JSON", exact=True).first).to_contain_text('"type": "object"')
        await console.assert_accessible()


async def test_versions_are_compared_and_an_earlier_one_is_restored(browser: Browser, harbour: Harbour) -> None:
    sdk = harbour.server.sdk()
    made = await sdk.assistants.create("echo", name="Keeper", config={"configurable": {"system_prompt": "first\nsame"}})
    assistant_id = made["assistant_id"]
    try:
        await sdk.assistants.update(assistant_id, config={"configurable": {"system_prompt": "second\nsame"}})
        async with open_console(browser, harbour.server.url) as console:
            page = await console.open(f"agents/{assistant_id}?tab=versions")
            diff = page.get_by_label("Changes from version 1 to version 2")
            await expect(diff).to_contain_text("first")
            await expect(diff.locator("tr", has_text="second")).to_contain_text("+")
            await page.get_by_role("button", name="Version 1").click()
            await expect(page).to_have_url(re.compile("version=1"))
            await page.get_by_role("button", name="Restore", exact=True).click()
            dialog = page.get_by_role("dialog")
            await expect(dialog.get_by_label("Restored changes")).to_contain_text("first")
            await console.assert_accessible()
            await dialog.get_by_role("button", name="Restore version 1").click()
            await expect(dialog).to_be_hidden()
            await expect(page.get_by_role("button", name="Version 1")).to_contain_text("Served")
        assert (await sdk.assistants.get(assistant_id))["version"] == 1
    finally:
        await sdk.assistants.delete(assistant_id)


async def test_schemas_are_tables_and_the_graph_is_drawn(browser: Browser, harbour: Harbour) -> None:
    async with open_console(browser, harbour.server.url) as console:
        page = await console.open(f"agents/{harbour.agent_id}?tab=schemas")
        await expect(page.get_by_role("rowheader", name="messages")).to_be_visible()
        await page.get_by_role("tab", name="State").click()
        await expect(page.get_by_label("Fields of State")).to_be_visible()
        await chosen_tab(page, "Graph")
        drawing = page.get_by_label("Drawing of the graph")
        for node in ("start", "model", "tools", "end"):
            await expect(drawing.get_by_text(re.compile(f"^{node}"))).to_be_visible()
        await expect(drawing.locator(".react-flow__edge").first).to_be_attached()
        await page.get_by_text("As a list").click()
        await expect(page.get_by_text("→ tools (if)")).to_be_visible()
        await console.assert_accessible()


async def test_a_dry_run_shows_the_difference_and_applies_it(browser: Browser, harbour: Harbour) -> None:
    catalogue = harbour.catalogue
    agent_id = await catalogue.add_agent(name="Pilot", system_prompt="Steer to port.")
    await is_served(harbour.server, agent_id, 1)
    # without the trigger the live feed sees nothing, so that the edit waits for a sync
    await catalogue.pool.execute("alter table public.agents disable trigger all")
    try:
        async with open_console(browser, harbour.server.url) as console:
            page = await console.open(f"agents/{agent_id}?tab=sync")
            await expect(page.get_by_text(str(agent_id)).first).to_be_visible()
            # after all requests of the page, because reading an assistant syncs its row
            await page.wait_for_load_state("networkidle")
            await catalogue.pool.execute(
                "update public.agents set system_prompt = $2, updated_at = now() where id = $1",
                agent_id,
                "Steer to starboard.",
            )
            await page.get_by_role("button", name="Show what a sync would change").click()
            await expect(page.get_by_text("1 updated")).to_be_visible()
            diff = page.get_by_label("What a sync would change in Pilot")
            await expect(diff).to_contain_text("Steer to port.")
            await expect(diff).to_contain_text("Steer to starboard.")
            await console.assert_accessible()
            await page.get_by_role("button", name="Apply").click()
            await expect(page.get_by_text("The sync is done:")).to_be_visible()
            await chosen_tab(page, "Prompt")
            await expect(page.get_by_text("Steer to starboard.")).to_be_visible()
    finally:
        await catalogue.pool.execute("alter table public.agents enable trigger all")


async def test_the_list_has_failures_with_their_row_and_a_dry_run_of_a_scope(
    browser: Browser, harbour: Harbour
) -> None:
    broken = await harbour.catalogue.add_agent(name="Wreck", sampling_params={"base_url": "http://elsewhere"})
    async with harbour.server.http() as http:
        await http.post("/agents/sync", json={"agent_id": str(broken)})
    async with open_console(browser, harbour.server.url) as console:
        console.expected_statuses.add(422)
        page = await console.open("agents")
        await page.get_by_role("link", name="Sync", exact=True).click()
        await expect(page).to_have_url(re.compile("view=sync"))
        await expect(page.get_by_role("heading", level=1)).to_have_text("Agent sync")
        failure = page.get_by_role("listitem").filter(has_text=str(broken)).first
        await expect(failure).to_contain_text("base_url")
        await page.get_by_label("Scope").fill("nonsense")
        await page.get_by_role("button", name="Show what a sync would change").click()
        await expect(page.get_by_role("alert")).to_contain_text("nonsense")
        await page.get_by_label("Scope").fill("")
        await page.get_by_role("button", name="Show what a sync would change").click()
        await expect(page.get_by_text("1 failed")).to_be_visible()
        await console.assert_accessible()
    await harbour.catalogue.pool.execute("delete from public.agents where id = $1", broken)


async def test_callers_that_are_no_administrators_see_no_sync(browser: Browser, keys_server: LiveServer) -> None:
    key = await issue_api_key(keys_server.database, "0a000000-0000-4000-8000-000000000001")
    async with open_console(browser, keys_server.url) as console:
        console.expected_statuses |= {401, 403}
        page = await console.open("agents")
        await page.get_by_label("API key", exact=True).fill(key)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("table", name="Agents")).to_be_visible()
        await expect(page.get_by_role("link", name="Sync", exact=True)).to_have_count(0)


async def test_an_agent_that_is_not_there_is_said_so(browser: Browser, harbour: Harbour) -> None:
    async with open_console(browser, harbour.server.url) as console:
        page = await console.open("agents/0a000000-0000-4000-8000-00000000dead")
        await expect(page.get_by_role("alert")).to_contain_text("There is nothing here")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
async def test_the_parts_of_an_agent_are_accessible(
    browser: Browser, harbour: Harbour, theme: str, viewport: dict[str, int]
) -> None:
    async with open_console(browser, harbour.server.url, theme=theme, viewport=viewport) as console:
        page = await console.open(f"agents/{harbour.agent_id}")
        await expect(page.get_by_text("You know the tides.")).to_be_visible()
        for name in ("Prompt", "Tools", "Versions", "Schemas", "Graph", "Sync"):
            await chosen_tab(page, name)
            await expect(page.get_by_label("Loading")).to_have_count(0)
            await console.assert_accessible()
            width = await page.evaluate("() => document.documentElement.scrollWidth")
            assert width <= viewport["width"], name
