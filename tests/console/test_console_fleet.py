"""The fleet in Chromium: instances dial in, change and leave; operators drain, cordon, cancel and release."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from agenthall_client import Job
from browser import DESK, PHONE, open_console
from playwright.async_api import Browser, Locator, Page, expect
from servers.live_server import until

from .fleet_server import ORGANIZATION, OTHER_ORGANIZATION, FleetServer, open_fleet_server

HOSTILE = "<img src=x onerror=\"document.title='owned'\">"
MANY, AGENTS = 10_000, 8
MOST_TILES = 150


@pytest.fixture(scope="module")
async def fleet(
    browser: Browser, postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[FleetServer]:
    """It starts after the console is built."""
    async with open_fleet_server(postgres, template, tmp_path_factory.mktemp("fleet")) as server:
        yield server


def _tile(page: Page, instance_id: str) -> Locator:
    return page.locator("main").get_by_role("link").filter(has_text=re.compile(re.escape(instance_id)))


async def _confirm(page: Page, button: str, reason: str | None = None) -> None:
    dialog = page.get_by_role("dialog")
    if reason is not None:
        await dialog.get_by_label("Reason").fill(reason)
    await dialog.get_by_role("button", name=button).click()
    await expect(dialog).to_be_hidden()


async def test_tiles_appear_change_and_go_without_a_reload(browser: Browser, fleet: FleetServer) -> None:
    state = {"health": "healthy"}
    async with open_console(browser, fleet.url) as console:
        page = await console.open("fleet?agent=live-bot")
        await expect(page.get_by_text("Live", exact=True)).to_be_visible()
        await expect(page.get_by_text("No instance matches")).to_be_visible()
        bot = fleet.instance("live-bot", "bot-7", zone="eu-west", version="1.4.0", health=lambda: state["health"])
        async with bot:
            tile = _tile(page, "bot-7")
            await expect(tile).to_contain_text("Healthy")
            await expect(tile).to_contain_text("1.4.0 · epoch 1")
            await expect(tile).to_contain_text("load 0")
            await expect(tile).to_contain_text("last heartbeat")
            await expect(page.get_by_role("heading", name="eu-west")).to_be_visible()
            state["health"] = "degraded"
            bot.beat_now()
            await expect(tile).to_contain_text("Degraded")
            await expect(page.get_by_role("button", name="Degraded 1")).to_be_visible()
        await expect(tile).to_have_count(0)


async def test_a_watch_goes_on_when_the_server_is_back(browser: Browser, fleet: FleetServer) -> None:
    async with open_console(browser, fleet.url) as console:
        page = await console.open("fleet?agent=patient-bot")
        await expect(page.get_by_text("Live", exact=True)).to_be_visible()
        web = fleet.live.webs[0]
        web.kill()
        await web.ended()
        try:
            await expect(page.get_by_text("Reconnecting")).to_be_visible()
        finally:
            web.start()
            await fleet.live.ready()
        await expect(page.get_by_text("Live", exact=True)).to_be_visible()
        async with fleet.instance("patient-bot", "after"):
            await expect(_tile(page, "after")).to_be_visible()
        # Chromium reports requests to a server that is off, or starts.
        console.faults = [each for each in console.faults if "net::ERR_" not in each and "status of 503" not in each]


async def test_an_instance_is_cordoned_uncordoned_and_drained_after_a_question(
    browser: Browser, fleet: FleetServer
) -> None:
    async with open_console(browser, fleet.url) as console, fleet.instance("taken-bot", "taken-1") as bot:
        page = await console.open("fleet")
        await _tile(page, "taken-1").click()
        await expect(page).to_have_url(re.compile(f"/fleet/{bot.registration_id}$"))
        await expect(page.get_by_role("heading", level=1)).to_have_text("taken-1")
        await page.get_by_role("button", name="Cordon", exact=True).click()
        await page.get_by_role("button", name="Keep it as it is").click()
        await expect(page.get_by_text("Healthy")).to_be_visible()
        await page.get_by_role("button", name="Cordon", exact=True).click()
        await _confirm(page, "Cordon it", HOSTILE)
        await expect(page.get_by_text(f"by local: {HOSTILE}")).to_be_visible()
        await expect(page).to_have_title("taken-1 · Agenthall")
        await page.get_by_role("button", name="Uncordon").click()
        await _confirm(page, "Uncordon it")
        await expect(page.get_by_text("Healthy")).to_be_visible()
        await page.get_by_role("button", name="Drain", exact=True).click()
        await _confirm(page, "Drain it", "room for version 2")
        await expect(page.get_by_text("Draining: room for version 2")).to_be_visible()
        await expect(page.get_by_role("button", name="Drain", exact=True)).to_have_count(0)
        events = page.get_by_role("region", name="Events")
        for kind in ("draining", "uncordoned", "cordoned", "registered"):
            await expect(events.get_by_text(kind, exact=True)).to_be_visible()
        await console.assert_accessible()


@pytest.mark.parametrize(("path", "shown"), [("/ok", "Passed"), ("/nothing/here", "Failed")])
async def test_the_last_health_check_is_on_the_page_of_its_instance(
    browser: Browser, fleet: FleetServer, path: str, shown: str
) -> None:
    details = {"health_check_url": f"{fleet.url}{path}"}
    async with (
        fleet.instance("checked-bot", shown, slots=1, connection_details=details) as bot,
        fleet.live.http() as http,
    ):

        async def is_checked() -> bool:
            history = (await http.get(f"/agents/instances/{bot.registration_id}/history")).json()
            return history["health_check"]["checked_at"] is not None

        await until(is_checked)
        async with open_console(browser, fleet.url) as console:
            page = await console.open(f"fleet/{bot.registration_id}")
            await expect(page.get_by_text("Health check")).to_be_visible()
            await expect(page.get_by_text(shown, exact=True).last).to_be_visible()
            await expect(page.get_by_text("HTTP 404")).to_have_count(1 if shown == "Failed" else 0)
            await console.assert_accessible()


async def test_a_job_is_cancelled_on_the_page_of_its_instance(browser: Browser, fleet: FleetServer) -> None:
    cancelled = asyncio.Event()

    async def hold(job: Job) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return "never"

    async with fleet.instance("busy-bot", "busy-1", slots=1) as bot, asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(bot.serve(hold))
        sdk = fleet.live.sdk()
        thread = await sdk.threads.create()
        await sdk.runs.create(thread["thread_id"], "busy-bot", input={"messages": [{"role": "user", "content": "go"}]})
        async with open_console(browser, fleet.url) as console:
            page = await console.open(f"fleet/{bot.registration_id}")
            jobs = page.get_by_role("table", name="Jobs")
            await expect(jobs.get_by_text("running", exact=True)).to_be_visible()
            await expect(page.get_by_text("1 of 1 slots used")).to_be_visible()
            await jobs.get_by_role("button", name="Cancel job").click()
            await _confirm(page, "Cancel the job", "the user stopped it")
            await expect(jobs.get_by_text("cancelled", exact=True)).to_be_visible()
            await cancelled.wait()
            await console.open("fleet?tab=jobs&agent=busy-bot&job=cancelled")
            await expect(page.get_by_role("table", name="Jobs").get_by_role("link", name="busy-1")).to_be_visible()
            await console.open("fleet?tab=scaling")
            signals = page.get_by_role("table", name="Scaling signals")
            await expect(signals.get_by_role("button", name="busy-bot")).to_be_visible()
            await expect(page.get_by_role("img", name=re.compile("Jobs and slots of"))).to_be_visible()
            await console.assert_accessible()
        serving.cancel()


async def test_all_jobs_of_an_instance_are_on_its_page_beside_a_busier_one(
    browser: Browser, fleet: FleetServer
) -> None:
    async with fleet.instance("two-bots", "calm") as calm, fleet.instance("two-bots", "busy") as busy:
        await fleet.add_ended_jobs(calm.registration_id, 60)
        await fleet.add_ended_jobs(busy.registration_id, 300)
        async with open_console(browser, fleet.url) as console:
            page = await console.open(f"fleet/{calm.registration_id}")
            jobs = page.get_by_role("table", name="Jobs").get_by_text("succeeded", exact=True)
            await expect(jobs).to_have_count(50)
            await page.get_by_role("button", name="Load more").click()
            await expect(jobs).to_have_count(60)
            await expect(page.get_by_role("button", name="Load more")).to_have_count(0)
            await console.assert_accessible()


async def test_a_brake_is_released_after_a_question(browser: Browser, fleet: FleetServer) -> None:
    await fleet.fill("braked", instances=20, lease="-1 second")
    try:
        async with open_console(browser, fleet.url) as console:
            page = await console.open("fleet")
            brakes = page.get_by_role("region", name="Brakes")
            await expect(brakes).to_contain_text("braked-0: 20 of 20 instances lapsed at once")
            await console.assert_accessible()
            await brakes.get_by_role("button", name="Release the brake").click()
            await _confirm(page, "Release the brake")
            await expect(brakes).to_have_count(0)
    finally:
        await fleet.remove("braked")


async def test_ten_thousand_instances_are_counted_found_and_opened(browser: Browser, fleet: FleetServer) -> None:
    await fleet.fill("crowd", instances=MANY, agents=AGENTS)
    try:
        async with open_console(browser, fleet.url) as console:
            page = await console.open("fleet")
            await expect(page.get_by_text(f"{MANY:,} instances of {AGENTS} agents", exact=True)).to_be_visible()
            # aggregated: a heading for each agent, and no tile
            tiles = page.locator("main ul a")
            await expect(page.get_by_role("button", name=re.compile(r"crowd-\d 1,250"))).to_have_count(AGENTS)
            await expect(tiles).to_have_count(0)
            await page.get_by_role("button", name=re.compile("crowd-3 1,250")).click()
            await expect(_tile(page, "crowd-3-4").first).to_be_visible()
            assert await tiles.count() < MOST_TILES
            await page.keyboard.press("End")
            await expect(page.get_by_role("button", name=re.compile("crowd-7 1,250"))).to_be_in_viewport()
            assert await tiles.count() < MOST_TILES
            # live among so many
            async with fleet.instance("crowd-bot", "late"):
                await expect(page.get_by_text(f"{MANY + 1:,} instances of {AGENTS + 1} agents")).to_be_visible()
            await page.get_by_label("Search instances").fill("crowd-5-1249")
            await expect(tiles).to_have_count(1)
            await tiles.click()
            await expect(page.get_by_role("heading", level=1)).to_have_text("crowd-5-1249")
            await page.go_back()
            await expect(page.get_by_label("Search instances")).to_have_value("crowd-5-1249")
    finally:
        await fleet.remove("crowd")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
async def test_the_fleet_is_accessible_and_what_instances_say_is_text(
    browser: Browser, fleet: FleetServer, theme: str, viewport: dict[str, int]
) -> None:
    words: dict[str, Any] = {"version": "1", "zone": HOSTILE, "tags": [HOSTILE], "capabilities": [HOSTILE]}
    bot = fleet.instance("hostile-bot", HOSTILE, load=lambda: {"workload": 1, HOSTILE: HOSTILE}, **words)
    async with bot, open_console(browser, fleet.url, theme=theme, viewport=viewport) as console:
        page = await console.open("fleet?agent=hostile-bot")
        await expect(_tile(page, HOSTILE)).to_be_visible()
        await console.assert_accessible()
        assert await page.evaluate("() => document.documentElement.scrollWidth") <= viewport["width"]
        await console.open(f"fleet/{bot.registration_id}")
        await expect(page.get_by_role("heading", level=1)).to_have_text(HOSTILE)
        await expect(page.get_by_text("current", exact=True)).to_be_visible()
        await console.assert_accessible()
        assert await page.evaluate("() => document.documentElement.scrollWidth") <= viewport["width"]
        await expect(page).to_have_title(f"{HOSTILE} · Agenthall")


async def test_an_instance_of_another_organization_is_not_there(browser: Browser, fleet: FleetServer) -> None:
    body = {"agent_id": "foreign-bot", "instance_id": "foreign-1"}
    async with fleet.live.http() as http:
        headers = {"x-organization-id": OTHER_ORGANIZATION}
        made = (await http.post("/agents/instances", json=body, headers=headers)).raise_for_status().json()
    async with open_console(browser, fleet.url) as console:
        for registration_id in (made["registration_id"], str(uuid4()), "no-id"):
            page = await console.open(f"fleet/{registration_id}")
            await expect(page.get_by_role("heading", name="There is nothing here")).to_be_visible()
        page = await console.open("fleet?q=foreign")
        await expect(page.get_by_text("No instance matches")).to_be_visible()


async def test_rows_lead_to_their_page_by_keyboard(browser: Browser, fleet: FleetServer) -> None:
    async with open_console(browser, fleet.url) as console, fleet.instance("key-bot", "key-1"):
        page = await console.open("fleet?agent=key-bot")
        await _tile(page, "key-1").focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", level=1)).to_have_text("key-1")
        assert ORGANIZATION not in page.url
