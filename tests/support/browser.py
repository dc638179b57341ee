"""The console in a real browser: Debian's Chromium, driven by Playwright. Tests skip where it cannot be."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from deadlines import DEADLINE
from node import node
from playwright.async_api import Browser, Page, Request, async_playwright, expect
from playwright.async_api import Error as PlaywrightError

from scripts.build_console import BuildFailed, build

ROOT = Path(__file__).parents[2]
CONSOLE = ROOT / "console"
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 800}
_FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


def built_console() -> Path:
    """Build the console unless it is up to date. Skips the test where that is impossible."""
    node(CONSOLE)
    try:
        build()
    except BuildFailed as error:
        pytest.skip(f"the console cannot be built: {error}")
    return CONSOLE / "dist"


def chromium() -> str:
    """The path of Chromium. Skips the test without it. The shell has no interface of its own, which costs a core."""
    names = ("chromium-headless-shell", "chromium", "chromium-browser")
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("there is no Chromium on this machine; apt-get install chromium")
    return found


@asynccontextmanager
async def open_browser() -> AsyncIterator[Browser]:
    """Chromium. Skips the test without it."""
    program = chromium()
    expect.set_options(timeout=DEADLINE * 1000)
    with tempfile.TemporaryDirectory(prefix="agenthall-chromium-") as folder:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=program, args=list(_FLAGS), env={"HOME": folder, "PATH": "/usr/bin:/bin"}
            )
            yield browser
            await browser.close()


class ConsolePage:
    """A page of the console, and everything that it did wrong. `url`: the address of the server."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.faults: list[str] = []
        self.expected_statuses: set[int] = set()
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("console", self._hear)
        page.on("request", self._check_host)

    def _hear(self, message: Any) -> None:
        # Chromium reports each answer that is an error, also those that the page expects.
        is_file = "/console/" in (message.location.get("url") or "")
        expected = not is_file and any(
            f"the server responded with a status of {each}" in message.text for each in self.expected_statuses
        )
        if message.type in {"error", "warning"} and not expected:
            self.faults.append(f"{message.type}: {message.text} ({message.location.get('url')})")

    def _check_host(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in {"data", "blob"} and parts.netloc != urlsplit(self.url).netloc:
            self.faults.append(f"another host: {request.url}")

    async def describe(self) -> str:
        """The address, the faults so far and the text of the page, for the report of a failure."""
        try:
            shown = await self.page.locator("body").aria_snapshot(timeout=5_000)
        except PlaywrightError as error:
            shown = f"nothing to be read: {error}"
        return "\n".join([f"page {self.page.url}", *self.faults, shown])

    async def open(self, path: str = "") -> Page:
        """Open `path` below the console, with nothing in the page's log that is not expected."""
        await self.page.goto(f"{self.url}/console/{path}")
        return self.page

    async def assert_accessible(self) -> None:
        """Check the page with axe. Injected by the debugger, which the policy of the page does not bind."""
        if not await self.page.evaluate("() => 'axe' in window"):
            await self.page.evaluate((CONSOLE / "node_modules" / "axe-core" / "axe.min.js").read_text())
        found = await self.page.evaluate(
            "(tags) => axe.run(document, {runOnly: {type: 'tag', values: tags}}).then((done) => done.violations.map("
            "(each) => `${each.id}: ${each.nodes.map((node) => node.html.slice(0, 160)).join(' | ')}`))",
            _RULES,
        )
        assert found == [], found


OpenConsole = Callable[..., Any]


@asynccontextmanager
async def open_console(
    browser: Browser, url: str, *, theme: str = "light", viewport: Mapping[str, int] = DESK, **options: Any
) -> AsyncIterator[ConsolePage]:
    """A page in a context of its own, as a private window is. Fails at the end if the page did anything wrong."""
    context = await browser.new_context(color_scheme=theme, viewport=dict(viewport), **options)  # type: ignore[arg-type]
    context.set_default_timeout(DEADLINE * 1000)
    try:
        console = ConsolePage(await context.new_page(), url.rstrip("/"))
        # 404: the server does not have an endpoint that the page asks for
        console.expected_statuses |= {404, 405}
        try:
            yield console
        except Exception as error:
            error.add_note(await console.describe())
            raise
        assert console.faults == [], "\n".join(console.faults)
    finally:
        await context.close()
