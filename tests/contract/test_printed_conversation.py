"""The first conversation that `serve` prints works when it is pasted, in every mode of authentication, and shows
errors."""

from __future__ import annotations

import asyncio
import os
import subprocess

import orjson
import pytest
from databases import fresh_database, prepared_database
from deadlines import DEADLINE
from servers.live_server import GRAPHS, SAMPLES, LiveServer, live_server, until

from robyn_server.supervisor.output import banner as banner_module
from robyn_server.supervisor.output.banner import Banner, fetch_synced, render_example, render_text, wait_for_agents

from .conftest import demo_catalogue

MODES = {
    "none": {},
    "keys": {"AUTH_MODE": "keys"},
    "jwt": {"AUTH_MODE": "jwt", "AUTH_JWT_SECRET": "x" * 32, "AUTH_JWT_AUDIENCE": "agents"},
}
_DEMO = {"AGENT_SYNC_SCOPE": "all", "AGENTHALL_DEFAULT_MODEL": "offline:demo"}


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine takes longer than the seconds after which `serve` prints its banner anyway."""
    monkeypatch.setattr(banner_module, "TIMEOUT_SECONDS", DEADLINE)
    monkeypatch.setattr(banner_module, "FIRST_SYNC_SECONDS", DEADLINE)


def _banner(server: LiveServer, mode: str, **more: object) -> Banner:
    return Banner(
        url=server.url,
        database="postgresql://…",
        processes=[("web", 1)],
        seconds=1.0,
        auth_mode=mode,
        **more,  # type: ignore[arg-type]
    )


async def _paste(server: LiveServer, text: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AGENT", "AUTH_", "LANG"))}
    return await asyncio.to_thread(
        subprocess.run,
        ["bash", "-c", text],
        env=kept | {"DATABASE_URL": server.database},
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE,
    )


@pytest.mark.parametrize("mode", MODES)
async def test_the_conversation_gets_an_answer_of_the_named_agent(postgres: str, template: str, mode: str) -> None:
    async with (
        prepared_database(postgres, template, demo_catalogue()) as url,
        live_server(url, **_DEMO, **MODES[mode]) as server,
    ):
        banner = _banner(server, mode, expects_agents=True, agent="Legal Researcher", question="Hello")
        listed = await asyncio.to_thread(wait_for_agents, banner)
        assert "5 from the catalogue" in render_text(banner, listed)
        done = await _paste(server, render_example(banner, listed))
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.strip()) > 0


@pytest.mark.parametrize("mode", MODES)
async def test_a_run_that_fails_says_why(postgres: str, template: str, mode: str) -> None:
    async with (
        fresh_database(postgres, template) as url,
        live_server(url, AGENTHALL_DEFAULT_MODEL="openai:gpt-4o", OPENAI_API_KEY="", **MODES[mode]) as server,
    ):
        banner = _banner(server, mode)
        done = await _paste(server, render_example(banner, await asyncio.to_thread(wait_for_agents, banner)))
    assert done.returncode == 1
    assert done.stderr.strip().endswith("set OPENAI_API_KEY where the server runs.")


async def test_without_the_default_graph_another_one_is_asked(postgres: str, template: str) -> None:
    graphs = orjson.dumps({"mine": f"{SAMPLES}:failing"}).decode()
    assert "agent" in GRAPHS
    async with fresh_database(postgres, template) as url, live_server(url, AGENTHALL_GRAPHS=graphs) as server:
        banner = _banner(server, "none")
        done = await _paste(server, render_example(banner, await asyncio.to_thread(wait_for_agents, banner)))
    assert (done.returncode, done.stderr.strip()) == (1, "ValueError: this graph always fails")


@pytest.mark.parametrize("mode", MODES)
async def test_agents_that_no_scope_serves_are_named_with_the_remedy(postgres: str, template: str, mode: str) -> None:
    async with (
        prepared_database(postgres, template, demo_catalogue()) as url,
        live_server(url, **MODES[mode]) as server,
    ):
        await until(lambda: asyncio.to_thread(lambda: fetch_synced(server.url).unserved))  # counted after the start
        banner = _banner(server, mode)
        text = render_text(banner, await asyncio.to_thread(wait_for_agents, banner))
        assert "0 from the catalogue" in text
        assert "; set AGENT_SYNC_SCOPE=all to serve the 5 of the catalogue\n" in text
        await until(lambda: "the catalogue has agents that are not served" in server.webs[0].read_log())
