"""`python -m benchmarks.console [--loads N] [--json]`: how long the pages of the console take on loopback.

Each page is loaded N times by a browser that has nothing of it. The median of these is printed:

  ready   milliseconds until the page shows its heading and answers the keyboard

  ratio   of that time to the time of GET /livez in the same browser, which has nothing to load

  bytes   transferred, compressed

The last line is a streamed answer of 200 tokens a second: frames that took longer than 50 ms, and the layout shift.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from browser import built_console, open_browser
from databases import fresh_database, make_template, postgres_server
from playwright.async_api import Browser, Page, expect
from rich.console import Console
from rich.table import Table
from servers.live_server import LiveServer, live_server

GRAPHS = Path(__file__).parents[1] / "tests" / "support" / "served" / "console_graphs.py"
PAGES = ("overview", "agents", "conversations", "runs", "fleet", "store", "keys", "connections", "audit", "health")
_ORGANIZATION = "00000000-0000-0000-0000-000000000001"
_TRANSFERRED = """() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
  .reduce((sum, each) => sum + each.transferSize, 0)"""
_WATCH_FRAMES = """() => {
  window.slow = 0; window.shift = 0;
  let last = performance.now();
  const look = (now) => { if (now - last > 50) window.slow += 1; last = now; requestAnimationFrame(look); };
  requestAnimationFrame(look);
  new PerformanceObserver((list) => { for (const each of list.getEntries()) window.shift += each.value; })
    .observe({type: "layout-shift", buffered: false});
}"""


@dataclass(frozen=True)
class Load:
    page: str
    ready: float
    ratio: float
    bytes: int


@dataclass(frozen=True)
class Streamed:
    seconds: float
    slow_frames: int
    layout_shift: float


async def measure(loads: int) -> tuple[list[Load], Streamed]:
    with postgres_server() as postgres:
        template = await make_template(postgres)
        settings = {
            "AGENTHALL_GRAPHS": json.dumps({"torrent": f"{GRAPHS}:torrent"}),
            "AGENTHALL_DEV_TENANT": _ORGANIZATION,
        }
        async with (
            fresh_database(postgres, template) as url,
            live_server(url, AGENTHALL_LOG_LEVEL="WARNING", **settings) as server,
            open_browser() as browser,
        ):
            built_console()
            blank = statistics.median([(await _load(browser, server, "livez"))[0] for _ in range(loads)])
            found = [await _loaded(browser, server, page, loads, blank) for page in PAGES]
            return [Load("GET /livez", blank, 1.0, 0), *found], await _streamed(browser, server)


async def _loaded(browser: Browser, server: LiveServer, page: str, loads: int, blank: float) -> Load:
    measured = [await _load(browser, server, f"console/{page}") for _ in range(loads)]
    ready = statistics.median(each for each, _ in measured)
    return Load(page, ready, ready / blank, measured[0][1])


async def _load(browser: Browser, server: LiveServer, path: str) -> tuple[float, int]:
    """Milliseconds until the page is ready, and transferred bytes, in a context without a cache."""
    context = await browser.new_context()
    page = await context.new_page()
    began = time.perf_counter()
    await page.goto(f"{server.url}/{path}", wait_until="commit")
    if path.startswith("console"):
        await page.get_by_role("heading", level=1).wait_for()
        await page.keyboard.press("Tab")
        await page.wait_for_function("() => document.activeElement !== document.body")
    else:
        await page.wait_for_load_state("load")
    ready = 1000 * (time.perf_counter() - began)
    await page.wait_for_load_state("networkidle") if path != "console/fleet" else None
    transferred = int(await page.evaluate(_TRANSFERRED))
    await context.close()
    return ready, transferred


async def _streamed(browser: Browser, server: LiveServer) -> Streamed:
    page: Page = await browser.new_page()
    await page.goto(f"{server.url}/console/conversations/new")
    await page.get_by_label("Agent").select_option(label="torrent")
    await page.get_by_label("Message").fill("Go")
    await page.evaluate(_WATCH_FRAMES)
    began = time.perf_counter()
    await page.get_by_role("button", name="Send").click()
    await expect(page.get_by_role("article", name="Answer")).to_contain_text("word 700.")
    seconds = time.perf_counter() - began
    slow, shift = await page.evaluate("() => [window.slow, window.shift]")
    return Streamed(seconds, slow, shift)


def show(loads: list[Load], streamed: Streamed) -> None:
    table = Table("page", "ready ms", "ratio", "bytes")
    for each in loads:
        table.add_row(each.page, f"{each.ready:.0f}", f"{each.ratio:.1f}", f"{each.bytes:,}")
    Console().print(table)
    print(
        f"an answer of 700 tokens: {streamed.seconds:.1f} s, {streamed.slow_frames} slow frames,"
        f" layout shift {streamed.layout_shift:.4f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loads", type=int, default=5, help="of each page")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    loads, streamed = asyncio.run(measure(options.loads))
    if options.json:
        given: dict[str, Any] = {"loads": [asdict(each) for each in loads], "streamed": asdict(streamed)}
        print(json.dumps(given))
    else:
        show(loads, streamed)


if __name__ == "__main__":
    main()
