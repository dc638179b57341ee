"""The guide to graphs of one's own works as it stands: its graph is served, and its client answers the interrupt."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import orjson
from doc_pages import DOCS, blocks
from servers.live_server import live_server

PAGE = DOCS / "how-to" / "serve-your-own-graphs.md"
GRAPH, CLIENT, APP = blocks(PAGE, "python")


async def test_the_graph_asks_and_goes_on_with_the_answer(database: str, tmp_path: Path) -> None:
    (tmp_path / "graph.py").write_text(GRAPH, encoding="utf-8")
    graphs = {"agent": "tools_agent.agent:graph", "approval": f"{tmp_path / 'graph.py'}:graph"}
    async with live_server(database, AGENTHALL_GRAPHS=orjson.dumps(graphs).decode()) as server:
        client = CLIENT.replace("http://127.0.0.1:2024", server.url)
        asked = [sys.executable, "-c", client]
        done = await asyncio.to_thread(subprocess.run, asked, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "{'question': 'Publish this?', 'draft': 'Three sentences about tea.'}",
        "True",
    ]


async def test_the_app_answers_as_the_guide_shows(database: str, tmp_path: Path) -> None:
    (tmp_path / "webapp.py").write_text(APP, encoding="utf-8")
    settings = {"AGENTHALL_HTTP_APP": f"{tmp_path / 'webapp.py'}:app", "AGENTHALL_HTTP_APP_AUTH": "true"}
    shown = re.search(
        r"^\$ curl -s http://127.0.0.1:2024(/topics)\n(.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert shown is not None
    async with live_server(database, workers=0, **settings) as server, server.http() as http:
        assert (await http.get(shown[1])).text == shown[2]


async def test_the_pages_of_the_documented_origins_may_call_a_server_without_credentials(database: str) -> None:
    found = re.search(r"^export AGENTHALL_CORS_ORIGINS=(\S+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None
    async with live_server(database, workers=0, AGENTHALL_CORS_ORIGINS=found[1]) as server, server.http() as http:
        for origin in found[1].split(","):
            asks = {"access-control-request-method": "POST", "access-control-request-private-network": "true"}
            preflight = await http.options("/threads/search", headers={"origin": origin, **asks})
            answer = await http.post("/threads/search", json={}, headers={"origin": origin})
            assert (preflight.status_code, answer.status_code) == (200, 200)
            assert preflight.headers["access-control-allow-private-network"] == "true"
            assert {each.headers["access-control-allow-origin"] for each in (preflight, answer)} == {origin}
        refused = await http.post("/threads/search", json={}, headers={"origin": "https://elsewhere.example"})
        assert (refused.status_code, refused.json()["code"]) == (403, "origin_refused")
