"""Markup in names, keys, values and identities is text on every page that shows it."""

from __future__ import annotations

from browser import open_console
from playwright.async_api import Browser, expect
from servers.live_server import LiveServer
from users.console_users import HARBOUR, HOSTILE, sign_in, token


async def test_markup_of_users_is_text_on_every_page(browser: Browser, jwt_server: LiveServer) -> None:
    secret = token(HOSTILE, HARBOUR, is_admin=True)
    headers = {"authorization": f"Bearer {secret}"}
    sdk = jwt_server.sdk(**headers)
    await sdk.assistants.create("echo", name=HOSTILE, description=HOSTILE, metadata={HOSTILE: HOSTILE})
    await sdk.store.put_item([HOSTILE], HOSTILE, {HOSTILE: HOSTILE}, index=False)
    async with jwt_server.http() as http:
        made = await http.post("/keys", json={"organizations": [HARBOUR], "name": HOSTILE}, headers=headers)
        assert made.status_code == 200, made.text
    async with open_console(browser, jwt_server.url) as console:
        console.expected_statuses.add(401)
        page = await console.open("agents")
        await sign_in(page, secret)
        for path in ("agents", "store", "keys", "audit"):
            await console.open(path)
            await expect(page.get_by_role("cell").filter(has_text=HOSTILE).first).to_be_visible()
            await page.get_by_role("button", name="JSON", exact=True).click()
            await expect(page.get_by_role("region", name="JSON")).to_contain_text("<img src=x")
            await expect(page.locator("img")).to_have_count(0)
