"""The list of runs and the page of a run, in Chromium on a server with a worker."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from browser import DESK, PHONE, open_console
from databases import fresh_database
from playwright.async_api import Browser, expect
from servers.live_server import LiveServer, live_server, until

HOSTILE = "<img src=x onerror=\"document.title='owned'\">"


@pytest.fixture(scope="module")
async def runs_server(browser: Browser, postgres: str, template: str) -> AsyncIterator[LiveServer]:
    async with fresh_database(postgres, template) as url, live_server(url) as server:
        yield server


async def started(server: LiveServer, graph: str, given: Any = None, **options: Any) -> tuple[str, str]:
    """Start a run on a thread of its own. Returns the ids of both."""
    sdk = server.sdk()
    thread = await sdk.threads.create()
    run = await sdk.runs.create(thread["thread_id"], graph, input=given, **options)
    return thread["thread_id"], run["run_id"]


async def ended(server: LiveServer, thread_id: str, run_id: str) -> None:
    sdk = server.sdk()

    async def has_ended() -> bool:
        return (await sdk.runs.get(thread_id, run_id))["status"] not in ("pending", "running")

    await until(has_ended)


async def done(server: LiveServer, graph: str, given: Any = None) -> tuple[str, str]:
    thread_id, run_id = await started(server, graph, given)
    await ended(server, thread_id, run_id)
    return thread_id, run_id


async def test_a_run_appears_in_the_list_while_it_is_open(browser: Browser, runs_server: LiveServer) -> None:
    async with open_console(browser, runs_server.url) as console:
        page = await console.open("runs")
        await expect(page.get_by_text("No runs yet").or_(page.get_by_role("row").nth(1))).to_be_visible()
        thread_id, run_id = await started(runs_server, "counter", {"until": 2})
        row = page.get_by_role("row").filter(has_text=f"…{thread_id[-8:]}")
        await expect(row).to_contain_text("counter")
        await expect(row).to_contain_text("success")
        await row.get_by_role("link", name="counter").click()
        await expect(page).to_have_url(re.compile(f"/console/runs/{thread_id}/{run_id}$"))
        await expect(page.get_by_role("heading", level=1)).to_have_text("counter")


async def test_filters_stand_in_the_address(browser: Browser, runs_server: LiveServer) -> None:
    failed, _ = await done(runs_server, "failing", {"text": HOSTILE})
    good, _ = await done(runs_server, "echo", {"text": "1"})
    async with open_console(browser, runs_server.url) as console:
        page = await console.open("runs?status=error&since=1h")
        rows = page.get_by_role("row")
        await expect(rows.filter(has_text=failed[-8:])).to_contain_text("ValueError")
        await expect(rows.filter(has_text=good[-8:])).to_have_count(0)
        await page.get_by_label("Status").select_option("")
        await page.get_by_label("Agent").select_option(label="echo")
        await expect(rows.filter(has_text=good[-8:])).to_be_visible()
        await expect(rows.filter(has_text=failed[-8:])).to_have_count(0)
        await expect(page).to_have_url(re.compile(r"agent=[0-9a-f-]{36}"))
        await page.get_by_label("Thread").fill("half an id")
        await expect(page.get_by_text("This is not the id of a thread.")).to_be_visible()
        await page.get_by_label("Thread").fill(failed)
        await expect(page.get_by_text("No run matches")).to_be_visible()
        await page.get_by_role("button", name="Clear the filters").click()
        await page.get_by_label("Created").select_option("custom")
        await page.get_by_label("Until").fill("2020-01-01T00:00")
        await expect(page.get_by_text("No run matches")).to_be_visible()
        await page.reload()
        await expect(page.get_by_label("Until")).to_have_value("2020-01-01T00:00")


async def test_older_runs_are_loaded_by_cursor(browser: Browser, runs_server: LiveServer) -> None:
    sdk = runs_server.sdk()
    thread = await sdk.threads.create()
    for _ in range(52):
        await sdk.runs.create(thread["thread_id"], "echo", input={"text": "1"}, multitask_strategy="enqueue")
    async with open_console(browser, runs_server.url) as console:
        page = await console.open(f"runs?thread={thread['thread_id']}")
        table = page.get_by_role("table", name="Runs")
        await expect(table).to_have_attribute("aria-rowcount", "51")
        await page.get_by_role("button", name="Load older runs").click()
        await expect(table).to_have_attribute("aria-rowcount", "53")
        await expect(page.get_by_role("button", name="Live")).to_be_disabled()


async def test_a_run_is_a_waterfall_that_opens_to_its_details(browser: Browser, runs_server: LiveServer) -> None:
    thread_id, run_id = await done(runs_server, "counter", {"until": 3})
    async with open_console(browser, runs_server.url) as console:
        page = await console.open(f"runs/{thread_id}/{run_id}")
        spans = page.get_by_role("list", name="Spans").get_by_role("button")
        await expect(spans).to_have_count(5)
        await expect(spans.first).to_contain_text("queue")
        await expect(spans.nth(1)).to_contain_text("attempt 1")
        await expect(spans.nth(4)).to_contain_text("step")
        attempt, step = (page.locator(f"[data-bar^='{each}']").first for each in ("attempt-", "task-"))
        outer, inner = await attempt.bounding_box(), await step.bounding_box()
        assert outer is not None and inner is not None
        assert outer["x"] - 1 <= inner["x"] and inner["width"] <= outer["width"] + 2
        await spans.first.focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_label("JSON", exact=True).first).to_contain_text('"kind": "queue"')
        await expect(page.get_by_role("link", name="Conversation", exact=True)).to_have_attribute(
            "href", re.compile(f"/console/conversations/{thread_id}")
        )
        await expect(page.get_by_text(run_id, exact=True).first).to_be_visible()


async def test_an_error_has_the_frames_of_the_users_code(browser: Browser, runs_server: LiveServer) -> None:
    thread_id, run_id = await done(runs_server, "failing", {"text": "1"})
    async with open_console(browser, runs_server.url) as console:
        page = await console.open(f"runs/{thread_id}/{run_id}")
        frames = page.get_by_role("list", name="Frames")
        await expect(frames).to_contain_text("sample_graphs.py:")
        await expect(frames).to_contain_text("_fail")
        await expect(page.get_by_text("ValueError").first).to_be_visible()
        await console.assert_accessible()


async def test_a_waiting_run_is_cancelled_and_run_again(browser: Browser, runs_server: LiveServer) -> None:
    thread_id, run_id = await started(runs_server, "echo", {"text": "again"}, after_seconds=600)
    async with open_console(browser, runs_server.url) as console:
        page = await console.open(f"runs/{thread_id}/{run_id}")
        await expect(page.get_by_text("pending", exact=True)).to_be_visible()
        await page.get_by_role("button", name="Cancel", exact=True).click()
        await console.assert_accessible()
        await page.get_by_role("button", name="Cancel the run").click()
        await expect(page.get_by_text("interrupted", exact=True).first).to_be_visible()
        await page.get_by_role("button", name="Run again").click()
        await expect(page.get_by_role("dialog")).to_contain_text('"text": "again"')
        await page.get_by_role("button", name="Start the run").click()
        await expect(page).not_to_have_url(re.compile(run_id))
        await expect(page.get_by_text("success", exact=True)).to_be_visible()


async def test_a_run_that_is_taken_back_is_gone(browser: Browser, runs_server: LiveServer) -> None:
    thread_id, run_id = await started(runs_server, "echo", {"text": "1"}, after_seconds=600)
    async with open_console(browser, runs_server.url) as console:
        page = await console.open(f"runs/{thread_id}/{run_id}")
        await page.get_by_role("button", name="Cancel", exact=True).click()
        await page.get_by_role("button", name="Take it back").click()
        await expect(page).to_have_url(re.compile("/console/runs$"))
        await page.goto(f"{runs_server.url}/console/runs/{thread_id}/{run_id}")
        await expect(page.get_by_role("alert")).to_contain_text("There is nothing here")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
async def test_runs_are_accessible(
    browser: Browser, runs_server: LiveServer, theme: str, viewport: dict[str, int]
) -> None:
    thread_id, run_id = await done(runs_server, "counter", {"until": 2})
    async with open_console(browser, runs_server.url, theme=theme, viewport=viewport) as console:
        page = await console.open("runs")
        await expect(page.get_by_role("row").nth(1)).to_be_visible()
        await console.assert_accessible()
        await console.open(f"runs/{thread_id}/{run_id}")
        await expect(page.get_by_role("list", name="Spans")).to_be_visible()
        await console.assert_accessible()
        assert await page.evaluate("() => document.documentElement.scrollWidth") <= viewport["width"]
