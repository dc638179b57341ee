"""Take pictures of the console for the documentation: docs/images/console*.png.

Starts `agenthall serve` with its demo and some instances, has a conversation, and opens pages of it in the machine's
Chromium.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Literal, NamedTuple

from langgraph_sdk import get_client
from playwright.async_api import Browser, async_playwright

from .record_terminal import COLUMNS, IMAGES, PROGRAM, ROOT, START_SECONDS, free_ports
from .terminal_screen import Terminal

QUESTION = "Use the tool search_law: what about rent?"
_BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser")
_DESK, _PHONE = (1280, 760), (390, 760)
_INSTANCES = [
    *(("ide-agent", "berlin", name) for name in ("desk-ada", "desk-ben", "desk-cleo")),
    *(("ide-agent", "porto", name) for name in ("laptop-dan", "laptop-eve")),
    *(("support-bot", "porto", name) for name in ("pod-5f7c-1", "pod-5f7c-2")),
]
"""Type of agent, zone and name of each."""

_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


class Picture(NamedTuple):
    """A page by its path below the console. It is complete when it has `last`, a selector of Playwright."""

    path: str
    last: str
    theme: Literal["light", "dark"] = "light"
    window: tuple[int, int] = _DESK


async def converse(url: str) -> dict[str, Picture]:
    """Have a conversation. Return the pictures to take, by their names."""
    client = get_client(url=url)
    agent = (await client.assistants.search(name="Legal Researcher"))[0]
    thread = await client.threads.create()
    question: dict[str, Any] = {"messages": [{"role": "user", "content": QUESTION}]}
    await client.runs.wait(thread["thread_id"], agent["assistant_id"], input=question)
    run = (await client.runs.list(thread["thread_id"]))[0]
    conversation = f"conversations/{thread['thread_id']}"
    return {
        "console": Picture(conversation, "blockquote"),
        "console-agents": Picture("agents", "text=support-bot"),
        "console-run": Picture(f"runs/{thread['thread_id']}/{run['run_id']}", "text=search_law"),
        "console-fleet": Picture("fleet", f"text={len(_INSTANCES)} instances", theme="dark"),
        "console-phone": Picture(conversation, "blockquote", theme="dark", window=_PHONE),
    }


@contextmanager
def instances(url: str) -> Iterator[None]:
    """Some instances, which the command line registers."""
    started = [
        subprocess.Popen(  # noqa: S603  our own program
            [PROGRAM, "agents", "register", agent, "--instance-id", name, "--zone", zone, "--version", "1.4.0"],
            stdout=subprocess.DEVNULL,
            env=os.environ | {"AGENTHALL_URL": url},
        )
        for agent, zone, name in _INSTANCES
    ]
    try:
        yield
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait()


async def take_pictures(url: str, pictures: Mapping[str, Picture]) -> None:
    async with _browser() as browser:
        for name, (path, last, theme, (width, height)) in pictures.items():
            page = await browser.new_page(
                viewport={"width": width, "height": height}, color_scheme=theme, is_mobile=(width, height) == _PHONE
            )
            await page.goto(f"{url}/console/{path}")
            await page.locator(last).first.wait_for()
            await page.screenshot(path=IMAGES / f"{name}.png")
            await page.close()


@asynccontextmanager
async def _browser() -> AsyncIterator[Browser]:
    program = next(filter(None, map(shutil.which, _BROWSERS)), None)
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
    with instances(url):
        await take_pictures(url, await converse(url))


if __name__ == "__main__":
    main()
