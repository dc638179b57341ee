"""Take pictures of the console for the documentation: docs/images/console*.png.

Starts `agenthall serve` with its demo, has a conversation, and opens pages of it in the machine's Chromium.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from langgraph_sdk import get_client
from playwright.async_api import Browser, async_playwright

from .record_terminal import COLUMNS, IMAGES, PROGRAM, ROOT, START_SECONDS, free_ports
from .terminal_screen import Terminal

QUESTION = "Use the tool search_law: what about rent?"
_WINDOW = {"width": 1280, "height": 760}
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


async def converse(url: str) -> dict[str, tuple[str, str]]:
    """Have a conversation. Return paths and last texts of pages by the names of their pictures."""
    client = get_client(url=url)
    agent = (await client.assistants.search(name="Legal Researcher"))[0]
    thread = await client.threads.create()
    question: dict[str, Any] = {"messages": [{"role": "user", "content": QUESTION}]}
    await client.runs.wait(thread["thread_id"], agent["assistant_id"], input=question)
    run = (await client.runs.list(thread["thread_id"]))[0]
    return {
        "console": (f"conversations/{thread['thread_id']}", "result alone"),
        "console-agents": ("agents", "Slow Thinker"),
        "console-run": (f"runs/{thread['thread_id']}/{run['run_id']}", "search_law"),
    }


async def take_pictures(url: str, pages: Mapping[str, tuple[str, str]]) -> None:
    async with _browser() as browser:
        for name, (path, text) in pages.items():
            page = await browser.new_page(viewport=_WINDOW, color_scheme="light")  # type: ignore[arg-type]
            await page.goto(f"{url}/console/{path}")
            await page.get_by_text(text).first.wait_for()
            await page.screenshot(path=IMAGES / f"{name}.png")
            await page.close()


@asynccontextmanager
async def _browser() -> AsyncIterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        sys.exit("There is no Chromium on this machine; the pictures of the console stay as they are.")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=_FLAGS)
        yield browser
        await browser.close()


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="agenthall-") as folder:
        port = free_ports()
        command = f"env AGENTHALL_LOG_LEVEL=warning {PROGRAM} serve --port {port} --data-dir {folder}/data"
        with Terminal.running(command, ROOT, COLUMNS) as terminal:
            terminal.wait_for("╰──", START_SECONDS)
            asyncio.run(_record(f"http://127.0.0.1:{port}"))


async def _record(url: str) -> None:
    await take_pictures(url, await converse(url))


if __name__ == "__main__":
    main()
