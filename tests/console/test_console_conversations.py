"""Conversations in Chromium: chat, reload in mid-run, two browsers, questions, history, and hostile texts."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from browser import DESK, PHONE, ConsolePage, open_console
from databases import fresh_database
from playwright.async_api import Browser, Locator, Page, Route, expect
from served import chat_graphs, console_graphs
from served.console_graphs import HOSTILE, PIXEL
from servers.live_server import GRAPHS, LiveServer, live_server, until
from users.issued_api_keys import issue_api_key

TENANT = "0a000000-0000-4000-8000-000000000001"
OTHER_TENANT = "0a000000-0000-4000-8000-000000000002"
_GRAPHS = (
    GRAPHS
    | {name: f"{chat_graphs.__file__}:{name}" for name in chat_graphs.GRAPHS if name != "failing"}
    | {name: f"{console_graphs.__file__}:{name}" for name in ("hostile", "booking", "torrent")}
)

MAX_SHIFT = 0.1
"""The layout shift up to which a page counts as good (web.dev/cls)."""

_COUNT_SHIFTS = """() => {
    window.shifts = 0;
    const count = (list) => { for (const each of list.getEntries()) if (!each.hadRecentInput) window.shifts += each.value; };
    new PerformanceObserver(count).observe({type: "layout-shift", buffered: false});
}"""


@pytest.fixture(scope="module")
async def server(browser: Browser, postgres: str, template: str) -> AsyncIterator[LiveServer]:
    graphs = orjson.dumps(_GRAPHS).decode()
    async with fresh_database(postgres, template) as url, live_server(url, AGENTHALL_GRAPHS=graphs) as started:
        yield started


async def _agent(server: LiveServer, graph: str) -> str:
    found = await server.sdk().assistants.search(graph_id=graph, metadata={"created_by": "system"})
    return str(found[0]["assistant_id"])


async def _open_new(console: ConsolePage, server: LiveServer, graph: str) -> Page:
    return await console.open(f"conversations/new?agent={await _agent(server, graph)}")


async def _say(page: Page, text: str) -> None:
    await page.get_by_label("Message", exact=True).fill(text)
    await page.get_by_role("button", name="Send").click()


def _messages(page: Page) -> Locator:
    return page.get_by_role("region", name="Messages")


async def _begin(console: ConsolePage, server: LiveServer, graph: str, text: str) -> Page:
    """Send the first message to an agent, and wait for the page of the thread."""
    page = await _open_new(console, server, graph)
    await _say(page, text)
    await expect(page).to_have_url(re.compile(r"/conversations/[0-9a-f-]{36}"))
    return page


async def test_an_answer_comes_with_its_tool_call(browser: Browser, server: LiveServer) -> None:
    async with open_console(browser, server.url) as console:
        page = await _begin(console, server, "researcher", "What does the law say about rent?")
        await expect(_messages(page).get_by_text("Answered by the offline model")).to_be_visible()
        await expect(page).to_have_title("What does the law say about rent? · Agenthall")
        call = _messages(page).locator("details").filter(has_text="search_law")
        await expect(call.get_by_text("done")).to_be_visible()
        await call.locator("summary").click()
        await expect(call.get_by_role("heading", name="Arguments")).to_be_visible()
        await expect(call.get_by_text("§ 535 answers").first).to_be_visible()
        await page.get_by_role("button", name="JSON", exact=True).first.click()
        await expect(page.get_by_role("dialog").get_by_text('"checkpoint_id"').first).to_be_visible()
        await page.keyboard.press("Escape")
        await _say(page, "What did I say first?")
        await expect(_messages(page).get_by_text("The first thing that you said was")).to_be_visible()


async def test_a_reload_in_mid_run_goes_on_where_it_was(browser: Browser, server: LiveServer, tmp_path: Path) -> None:
    go_on = tmp_path / "go-on"
    async with open_console(browser, server.url) as console:
        page = await _begin(console, server, "waiting", str(go_on))
        await expect(_messages(page).get_by_text("You said: “begin”")).to_be_visible()
        await page.reload()
        await expect(_messages(page).get_by_text("You said: “begin”")).to_be_visible()
        await expect(page.get_by_role("button", name="Stop")).to_be_visible()
        go_on.touch()
        await expect(_messages(page).get_by_text("You said: “end”")).to_be_visible()
        await expect(page.get_by_role("button", name="Send")).to_be_visible()


async def test_two_browsers_see_one_thread(browser: Browser, server: LiveServer, tmp_path: Path) -> None:
    go_on = tmp_path / "go-on"
    async with open_console(browser, server.url) as one, open_console(browser, server.url) as other:
        first = await _begin(one, server, "waiting", str(go_on))
        second = other.page
        await second.goto(first.url)
        await expect(_messages(second).get_by_text("You said: “begin”")).to_be_visible()
        go_on.touch()
        for page in (first, second):
            await expect(_messages(page).get_by_text("You said: “end”")).to_be_visible()
            await expect(page.get_by_role("button", name="Send")).to_be_visible()
        await _say(second, str(go_on))
        for page in (first, second):
            await expect(_messages(page).get_by_text("You said: “end”")).to_have_count(2)
            await expect(_messages(page).get_by_role("article", name="Your message")).to_have_count(2)


async def test_a_fast_answer_moves_nothing_that_is_being_read(browser: Browser, server: LiveServer) -> None:
    # low, so that a few lines are more than there is room for
    async with open_console(browser, server.url, viewport={"width": 800, "height": 480}) as console:
        page = await _begin(console, server, "torrent", "Go")
        box, answer = _messages(page), _messages(page).get_by_role("article", name="Answer")
        await expect(answer).to_contain_text("word 200 ")
        await page.evaluate(_COUNT_SHIFTS)
        assert await box.evaluate("(box) => box.scrollTop") > 0
        await box.evaluate("(box) => box.scrollTo(0, 0)")
        await expect(page.get_by_role("button", name="To the end")).to_be_visible()
        await expect(answer).to_contain_text("word 400 ")
        assert await box.evaluate("(box) => box.scrollTop") == 0
        await page.get_by_role("button", name="To the end").click()
        await expect(answer).to_contain_text("word 700.")
        await expect(page.get_by_role("button", name="Send")).to_be_visible()
        await expect(page.get_by_role("button", name="To the end")).to_be_hidden()
        assert await page.evaluate("() => window.shifts") < MAX_SHIFT


async def test_a_run_is_stopped_and_what_it_wrote_is_named_as_lost(browser: Browser, server: LiveServer) -> None:
    async with open_console(browser, server.url) as console:
        page = await _begin(console, server, "endless", "Begin")
        await expect(_messages(page).get_by_text("You said: “I begin”")).to_be_visible()
        await page.get_by_role("button", name="Stop").click()
        await expect(page.get_by_text("The thread does not have it.")).to_be_visible()
        await expect(page.get_by_role("button", name="Send")).to_be_visible()


async def test_a_server_that_restarts_is_reached_again(browser: Browser, server: LiveServer) -> None:
    async with open_console(browser, server.url) as console:
        page = await _begin(console, server, "researcher", "Hello")
        await expect(_messages(page).get_by_text("I am the offline model")).to_be_visible()
        web = server.webs[0]
        web.kill()
        await web.ended()
        await expect(page.get_by_text("Connection lost, trying again")).to_be_visible()
        web.start()
        await server.ready()
        await expect(page.get_by_text("Connection lost, trying again")).to_be_hidden()
        await _say(page, "What did I say first?")
        await expect(_messages(page).get_by_text("The first thing that you said was")).to_be_visible()
        console.faults.clear()  # Chromium names each connection that was refused


async def test_a_part_of_the_page_that_could_not_be_loaded_is_asked_for_again(
    browser: Browser, server: LiveServer
) -> None:
    asked: list[str] = []

    async def fail_twice(route: Route) -> None:
        asked.append(route.request.url)
        await (route.abort("connectionreset") if len(asked) <= 2 else route.continue_())

    async with open_console(browser, server.url) as console:
        await console.page.route(re.compile(r"/assets/Markdown-[^/]*\.js$"), fail_twice)
        page = await _begin(console, server, "researcher", "Hello")
        await expect(_messages(page).get_by_text("I am the offline model")).to_be_visible()
        await until(lambda: len(asked) == 3)
        await _say(page, "What did I say first?")
        await expect(_messages(page).get_by_text("The first thing that you said was")).to_be_visible()
        await expect(page.locator(".prose-text p").first).not_to_have_class(re.compile("whitespace-pre-wrap"))
        console.faults.clear()  # Chromium names each connection that was reset


async def test_the_error_of_a_run_is_shown_and_stays(browser: Browser, server: LiveServer) -> None:
    async with open_console(browser, server.url) as console:
        page = await _open_new(console, server, "failing")
        area = page.get_by_label("Input as JSON", exact=True)
        await expect(area).to_have_value(re.compile("text"))
        await area.fill('{"text": ')
        await page.get_by_role("button", name="Send").click()
        await expect(page.get_by_role("alert")).to_contain_text("JSON")
        await area.fill('{"text": "go"}')
        await page.get_by_role("button", name="Send").click()
        await expect(page.get_by_role("alert")).to_contain_text("this graph always fails")
        await page.reload()
        await expect(page.get_by_role("alert")).to_contain_text("this graph always fails")


async def test_a_tool_call_is_reviewed_and_edited(browser: Browser, server: LiveServer) -> None:
    async with open_console(browser, server.url) as console:
        page = await _begin(console, server, "careful", "What does the law say about rent?")
        form = page.get_by_role("form", name="Questions of the agent")
        decision = form.get_by_label("Decision about search_law")
        await decision.select_option("edit")
        arguments = form.get_by_label("Arguments as JSON")
        await arguments.fill("{")
        await form.get_by_role("button", name="Answer").click()
        await expect(form.get_by_role("alert")).to_contain_text("search_law")
        await arguments.fill('{"query": "leases"}')
        await console.assert_accessible()
        await form.get_by_role("button", name="Answer").click()
        await expect(_messages(page).get_by_text("§ 535 answers: leases").last).to_be_visible()
        await expect(form).to_be_hidden()


async def test_several_questions_are_answered_together(browser: Browser, server: LiveServer) -> None:
    async with open_console(browser, server.url) as console:
        page = await _begin(console, server, "booking", "A room, please")
        form = page.get_by_role("form", name="Questions of the agent")
        await expect(form.get_by_role("heading", name="The agent asks 2 questions")).to_be_visible()
        await form.get_by_label("Form of the answer").select_option("approve")
        await form.get_by_role("button", name="Answer").click()
        await expect(form.get_by_role("alert")).to_have_text("Beds is required.")
        await form.get_by_label("Beds").fill("2")
        await form.get_by_label("view (optional)").select_option("sea")
        await form.get_by_role("button", name="Answer").click()
        await expect(_messages(page).get_by_text("room: {'beds': 2, 'view': 'sea'}")).to_be_visible()
        await expect(_messages(page).get_by_text("sure: True")).to_be_visible()


async def test_history_shows_each_step_and_forks(browser: Browser, server: LiveServer) -> None:
    async with open_console(browser, server.url) as console:
        page = await _begin(console, server, "researcher", "First words")
        await expect(_messages(page).get_by_text("“First words”")).to_be_visible()
        await _say(page, "Second words")
        await expect(_messages(page).get_by_text("“Second words”")).to_be_visible()
        await expect(page.get_by_role("button", name="Send")).to_be_visible()
        await page.get_by_role("button", name="History").click()
        steps = page.get_by_role("list", name="Steps").get_by_role("button")
        await expect(steps).to_have_count(6)
        await steps.nth(3).click()
        await expect(page).to_have_url(re.compile("checkpoint="))
        await expect(page.get_by_label("Changes of this step")).to_contain_text("added:")
        await expect(_messages(page).get_by_text("Second words")).to_have_count(0)
        await console.assert_accessible()
        shared = page.url
        await _say(page, "What did I say first?")
        await expect(_messages(page).get_by_text("The first thing that you said was")).to_be_visible()
        await expect(_messages(page).get_by_text("Second words")).to_have_count(0)
        await expect(page.get_by_label("Branch").first).to_be_visible()
        await page.goto(shared)
        await expect(page.get_by_text("An earlier step.")).to_be_visible()
        await expect(_messages(page).get_by_text("“First words”")).to_be_visible()


async def test_a_state_is_edited_and_replayed(browser: Browser, server: LiveServer) -> None:
    thread: Any = await server.sdk().threads.create()
    await server.sdk().runs.wait(thread["thread_id"], "counter", input={"until": 2})
    async with open_console(browser, server.url) as console:
        page = await console.open(f"conversations/{thread['thread_id']}?history=true")
        steps = page.get_by_role("list", name="Steps").get_by_role("button")
        await steps.nth(1).click()
        await page.get_by_role("button", name="Edit the state").click()
        dialog = page.get_by_role("dialog")
        area = dialog.get_by_label("State as JSON")
        await area.fill("[]")
        await expect(dialog.get_by_text("This must be a JSON object")).to_be_visible()
        await area.fill('{"until": 4, "count": 1, "seen": [1]}')
        await expect(dialog.get_by_label("What you change")).to_be_visible()
        await dialog.get_by_role("button", name="Save as a new step").click()
        await expect(page.get_by_text("State edited").first).to_be_visible()
        await steps.first.click()
        await page.get_by_role("button", name="Replay from here").click()
        await expect(page.get_by_role("region", name="State").get_by_text('"count": 4')).to_be_visible()


async def test_files_are_attached_or_refused_with_a_reason(browser: Browser, server: LiveServer) -> None:
    model = {"configurable": {"model_name": "offline:demo"}}
    agent: Any = await server.sdk().assistants.create("agent", config=model, name="reader")
    async with open_console(browser, server.url) as console:
        page = await console.open(f"conversations/new?agent={agent['assistant_id']}")
        await expect(page.get_by_role("heading", name="reader")).to_be_visible()
        chooser = page.locator("input[type=file]")
        await chooser.set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": b"\x89PNG"})
        await expect(page.get_by_role("alert")).to_have_text("a.png: The model offline:demo reads text alone.")
        await chooser.set_input_files({"name": "notes.txt", "mimeType": "text/plain", "buffer": b"buy milk"})
        await expect(page.get_by_text("notes.txt")).to_be_visible()
        await _say(page, "Read this")
        await expect(_messages(page).get_by_role("article", name="Answer").get_by_text("buy milk")).to_be_visible()


async def test_a_picture_is_shown_in_the_message_that_has_it(browser: Browser, server: LiveServer) -> None:
    async with open_console(browser, server.url) as console:
        page = await _open_new(console, server, "researcher")
        picture = {"name": "pixel.png", "mimeType": "image/png", "buffer": b64decode(PIXEL)}
        await page.locator("input[type=file]").set_input_files(picture)
        await expect(page.get_by_role("button", name="Remove pixel.png")).to_be_visible()
        await _say(page, "Look")
        await expect(_messages(page).get_by_text("“Look”")).to_be_visible()
        await page.reload()
        shown = _messages(page).get_by_role("article", name="Your message").get_by_role("img", name="pixel.png")
        await expect(shown).to_be_visible()
        assert await shown.evaluate("(picture) => picture.naturalWidth") == 1


async def test_hostile_texts_are_text_in_every_field(browser: Browser, server: LiveServer) -> None:
    async with open_console(browser, server.url) as console:
        page = await _begin(console, server, "hostile", HOSTILE)
        form = page.get_by_role("form", name="Questions of the agent")
        await expect(form.get_by_text(HOSTILE).first).to_be_visible()
        messages = _messages(page)
        await messages.locator("summary").first.click()
        await expect(messages.get_by_role("img", name=HOSTILE)).to_be_visible()
        await expect(messages.get_by_role("link")).to_have_count(2)
        for link in await messages.get_by_role("link").all():
            assert (await link.get_attribute("href") or "").startswith("https://example.com/")
            assert await link.get_attribute("rel") == "noreferrer noopener"
        await form.get_by_label("Answer", exact=True).fill(HOSTILE)
        await form.get_by_role("button", name="Answer").click()
        await expect(page.get_by_role("alert").get_by_text(HOSTILE)).to_be_visible()
        await page.get_by_role("button", name="History").click()
        await page.get_by_role("list", name="Steps").get_by_role("button").first.click()
        await expect(page.get_by_label("Changes of this step")).to_be_visible()
        await page.get_by_role("link", name="Conversations").first.click()
        await expect(page.get_by_role("link", name=HOSTILE).first).to_be_visible()
        assert await page.evaluate("() => [...document.scripts].every((each) => !each.text.includes('owned'))")
        assert await page.locator("img[src=x]").count() == 0
        await expect(page).to_have_title("Conversations · Agenthall")


async def test_a_thread_of_another_tenant_is_not_found(browser: Browser, keys_server: LiveServer) -> None:
    key = await issue_api_key(keys_server.database, TENANT)
    other = await issue_api_key(keys_server.database, OTHER_TENANT)
    async with keys_server.http(**{"x-api-key": key}) as http:
        thread = (await http.post("/threads", json={})).json()
        run = {"assistant_id": "echo", "input": {"text": "a secret"}}
        assert (await http.post(f"/threads/{thread['thread_id']}/runs/wait", json=run)).json() == {"text": "a secret"}
    async with open_console(browser, keys_server.url) as console:
        console.expected_statuses.add(401)
        page = await console.open(f"conversations/{thread['thread_id']}")
        await page.get_by_label("API key", exact=True).fill(other)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("heading", name="There is nothing here")).to_be_visible()
        await expect(page.get_by_text("a secret")).to_have_count(0)
        await page.get_by_role("link", name="Conversations").first.click()
        await expect(page.get_by_text("No conversations yet")).to_be_visible()


async def test_the_list_is_filtered_and_paged(browser: Browser, server: LiveServer) -> None:
    sdk = server.sdk()
    for number in range(55):
        await sdk.threads.create(metadata={"team": "blue", "number": number})
    async with open_console(browser, server.url) as console:
        page = await console.open("conversations?q=team%3Dblue")
        await expect(page.get_by_text("55 conversations, 50 loaded")).to_be_visible()
        await page.get_by_role("button", name="Load more").click()
        await expect(page.get_by_text("55 conversations", exact=True)).to_be_visible()
        search = page.get_by_label("Words, a thread id, or metadata as key=value")
        await search.fill("team=blue number=7")
        await expect(page.get_by_role("table", name="Conversations").get_by_role("row")).to_have_count(2)
        await page.get_by_label("Status").select_option("error")
        await expect(page.get_by_text("No conversation matches")).to_be_visible()
        await page.get_by_role("button", name="Clear the filters").click()
        await search.fill("?")
        await expect(page.get_by_text("Write words of messages")).to_be_visible()


async def test_the_list_is_searched_for_words(browser: Browser, server: LiveServer) -> None:
    async with open_console(browser, server.url) as console:
        page = await _begin(console, server, "researcher", "Do narwhals pay rent?")
        await expect(_messages(page).get_by_text("I am the offline model")).to_be_visible()
        await console.open("conversations?q=narwhals%20ren")
        await expect(page.get_by_role("link", name="Do narwhals pay rent?")).to_be_visible(timeout=20_000)
        await page.get_by_label("Words, a thread id, or metadata as key=value").fill("narwhals refuse")
        await expect(page.get_by_text("No conversation matches")).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
async def test_conversations_are_accessible(
    browser: Browser, server: LiveServer, theme: str, viewport: dict[str, int]
) -> None:
    async with open_console(browser, server.url, theme=theme, viewport=viewport) as console:
        page = await _begin(console, server, "researcher", "What does the law say about rent?")
        await expect(_messages(page).get_by_text("Answered by the offline model")).to_be_visible()
        await _messages(page).locator("summary").first.click()
        await console.assert_accessible()
        await page.get_by_role("button", name="History").click()
        await page.get_by_role("list", name="Steps").get_by_role("button").first.click()
        await expect(page.get_by_label("Changes of this step")).to_be_visible()
        await console.assert_accessible()
        if viewport is PHONE:
            await page.get_by_role("button", name="Messages").click()
            await expect(page.get_by_text("An earlier step.")).to_be_visible()
        assert await page.evaluate("() => document.documentElement.scrollWidth") <= viewport["width"]
        await console.open("conversations")
        await expect(page.get_by_role("link", name="What does the law say about rent?").first).to_be_visible()
        await console.assert_accessible()
        await console.open("conversations/new")
        await expect(page.get_by_label("Message", exact=True)).to_be_visible()
        await console.assert_accessible()
