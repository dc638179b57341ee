"""Two organizations in the console of one server: each sees its own, and nothing of the other by its address."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from browser import ConsolePage, open_console
from playwright.async_api import Browser, Locator, Page, expect
from servers.live_server import LiveServer
from users.console_users import HARBOUR, MEADOW, sign_in, token

OF_EVERYBODY = {"Overview", "Agents", "Conversations", "Runs", "Fleet", "Store", "Connections", "Health"}
OF_ADMINISTRATORS = {"Keys", "Audit"}


@dataclass(frozen=True, slots=True)
class Data:
    """The data of one user: `name` is in all of it."""

    name: str
    credential: str
    assistant: str
    thread: str
    run: str
    instance: str

    def addresses(self) -> list[str]:
        return [
            f"agents/{self.assistant}",
            f"agents/{self.assistant}?tab=versions",
            f"conversations/{self.thread}",
            f"runs/{self.thread}/{self.run}",
            f"fleet/{self.instance}",
        ]


async def _fill(server: LiveServer, user: str, organization: str) -> Data:
    credential = token(user, organization)
    headers = {"authorization": f"Bearer {credential}"}
    sdk = server.sdk(**headers)
    name = f"secret-of-{user}"
    assistant = (await sdk.assistants.create("echo", name=name))["assistant_id"]
    thread = (await sdk.threads.create(metadata={"title": name}))["thread_id"]
    await sdk.runs.wait(thread, assistant, input={"text": name})
    run = (await sdk.runs.list(thread))[0]["run_id"]
    await sdk.store.put_item([user, "notes"], name, {"text": name})
    async with server.http(**headers) as http:
        made = await http.post("/agents/instances", json={"agent_id": f"bot-{user}", "instance_id": name})
    assert made.status_code == 201, made.text
    return Data(name, credential, assistant, thread, run, made.json()["registration_id"])


@pytest.fixture(scope="module")
async def tenants(jwt_server: LiveServer) -> tuple[Data, Data]:
    return await _fill(jwt_server, "ada", HARBOUR), await _fill(jwt_server, "mia", MEADOW)


def shown(page: Page, text: str) -> Locator:
    """Where the page has the text, but for the choices of a filter."""
    return page.get_by_role("main").get_by_text(text).locator("visible=true").first


async def _signed_in(console: ConsolePage, credential: str) -> Page:
    console.expected_statuses |= {401, 403, 404}
    page = await console.open("agents")
    await sign_in(page, credential)
    await expect(page.get_by_role("table", name="Agents")).to_be_visible()
    return page


async def test_own_addresses_show_the_own_and_those_of_another_organization_nothing(
    browser: Browser, jwt_server: LiveServer, tenants: tuple[Data, Data]
) -> None:
    for mine, theirs in (tenants, tenants[::-1]):
        async with open_console(browser, jwt_server.url) as console:
            page = await _signed_in(console, mine.credential)
            for address in mine.addresses():
                await console.open(address)
                await expect(page.get_by_role("heading", level=1)).to_be_visible()
                await expect(page.get_by_role("alert")).to_have_count(0)
                await expect(shown(page, mine.name)).to_be_visible()
            for address in theirs.addresses():
                await console.open(address)
                await expect(page.get_by_role("alert").first).to_contain_text("There is nothing here")
                assert theirs.name not in await page.content(), address


@pytest.mark.parametrize("path", ["agents", "conversations", "runs", "fleet", "store"])
async def test_a_list_has_what_the_organization_has(
    browser: Browser, jwt_server: LiveServer, tenants: tuple[Data, Data], path: str
) -> None:
    mine, theirs = tenants
    async with open_console(browser, jwt_server.url) as console:
        answers: list[str] = []
        page = await _signed_in(console, mine.credential)
        page.on("response", lambda response: answers.append(response.url))
        await console.open(path)
        await expect(shown(page, "ada" if path == "store" else mine.name)).to_be_visible()
        assert theirs.name not in await page.content() and answers


async def test_the_navigation_has_what_a_role_may_use(
    browser: Browser, jwt_server: LiveServer, tenants: tuple[Data, Data]
) -> None:
    administrator = token("root", HARBOUR, is_admin=True)
    for credential, expected in (
        (tenants[0].credential, OF_EVERYBODY),
        (administrator, OF_EVERYBODY | OF_ADMINISTRATORS),
    ):
        async with open_console(browser, jwt_server.url) as console:
            page = await _signed_in(console, credential)
            links = page.get_by_role("navigation", name="Pages").get_by_role("link")
            await expect(links).to_have_count(len(expected))
            assert set(await links.all_inner_texts()) == expected


@pytest.mark.parametrize("path", ["keys", "audit"])
async def test_a_page_of_administrators_refuses_a_member_by_its_address(
    browser: Browser, jwt_server: LiveServer, tenants: tuple[Data, Data], path: str
) -> None:
    async with open_console(browser, jwt_server.url) as console:
        page = await _signed_in(console, tenants[0].credential)
        await console.open(path)
        await expect(page.get_by_text("You may not see this")).to_be_visible()
        await expect(page.get_by_role("table")).to_have_count(0)


async def test_nothing_of_one_user_is_left_for_the_next_at_the_same_browser(
    browser: Browser, jwt_server: LiveServer, tenants: tuple[Data, Data]
) -> None:
    mine, theirs = tenants
    async with open_console(browser, jwt_server.url) as console:
        page = await _signed_in(console, theirs.credential)
        await console.open(f"conversations/{theirs.thread}")
        await expect(shown(page, theirs.name)).to_be_visible()
        await page.get_by_role("button", name="Sign out").click()
        await sign_in(page, mine.credential)
        await expect(page.get_by_role("alert").first).to_contain_text("There is nothing here")
        await page.get_by_role("link", name="Conversations", exact=True).first.click()
        await expect(shown(page, mine.name)).to_be_visible()
        kept = json.dumps(
            await page.evaluate("() => [{...sessionStorage}, {...localStorage}, document.body.innerHTML]")
        )
        assert theirs.name not in kept and theirs.credential not in kept
