"""`agenthall serve` in the folder of a LangGraph project: its graphs are served, with its variables and packages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from commands.command_line import agenthall
from deadlines import DEADLINE
from langgraph_sdk import get_client
from servers.live_server import free_port, until
from servers.served_project import serving

GRAPH = """
import contextlib
import os
from typing import TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph_sdk.runtime import ServerRuntime

import helpers  # of a local dependency
from my_agent.words import GREETING  # of the project's own package


class State(TypedDict, total=False):
    text: str


def write(state: State) -> State:
    return {"text": f"{GREETING}, {os.environ['WHOM']}! {helpers.SIGN}"}


builder = StateGraph(State).add_node(write).add_edge(START, "write").add_edge("write", END)
graph = builder.compile()


@contextlib.asynccontextmanager
async def make(config, runtime: ServerRuntime):
    if running := runtime.execution_runtime:
        await running.store.aput(("runs",), config["configurable"]["run_id"], {"open": True})
    yield builder
    if running:
        await running.store.aput(("runs",), config["configurable"]["run_id"], {"open": False})
"""
EMBED = """
async def embed(texts):
    return [[0.1 + text.count(letter) for letter in "abc"] for text in texts]
"""
PROJECT = {
    "dependencies": [".", "./helpers", "langgraph"],
    "graphs": {
        "greet": {"path": "./my_agent/agent.py:graph", "description": "Greets."},
        "built": "my_agent.agent:make",
    },
    "env": ".env",
    "store": {
        "index": {"embed": "./my_agent/embed.py:embed", "dims": 3, "fields": ["text"]},
        "ttl": {"default_ttl": 60},
    },
    "dockerfile_lines": ["RUN true"],
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "my_agent").mkdir(parents=True)
    (folder / "helpers").mkdir()
    (folder / "my_agent" / "agent.py").write_text(GRAPH)
    (folder / "my_agent" / "embed.py").write_text(EMBED)
    (folder / "my_agent" / "words.py").write_text("GREETING = 'Hello'\n")
    (folder / "helpers" / "helpers.py").write_text("SIGN = 'Ada'\n")
    (folder / "langgraph.json").write_text(json.dumps(PROJECT))
    return folder


async def test_a_project_runs_with_its_graphs_variables_and_packages(project: Path, database: str) -> None:
    """Its database is one of the variables in `.env`."""
    (project / ".env").write_text(f"WHOM=world\nDATABASE_URL={database}\n")
    async with serving(project) as (url, log):
        client = get_client(url=url)
        for graph in ("greet", "built"):
            assert await client.runs.wait(None, graph, input={}) == {"text": "Hello, world! Ada"}
        (kept,) = (await client.store.search_items(["runs"]))["items"]
        assert kept["value"] == {"open": False}
        for text in ("aaa", "bbb"):
            await client.store.put_item(["texts"], text, {"text": text})
        await client.store.put_item(["texts"], "none", {"text": "ccc"}, index=False)
        near = (await client.store.search_items(["texts"], query="bb b"))["items"]
        assert [each["key"] for each in near] == ["bbb", "aaa", "none"]
        assert (near[0]["score"] or 0) > 0.99 and near[2]["score"] is None
        drawn = await client.assistants.get_graph("built")
        assert [each["id"] for each in drawn["nodes"]] == ["__start__", "write", "__end__"]
        found = {each["name"]: each.get("description") for each in await client.assistants.search()}
        assert found == {"greet": "Greets.", "built": None}, "no demo, and no graph `agent`"
        said = log.read_text()
        assert "no effect on a running server: dockerfile_lines" in said
        assert f"project    {project / 'langgraph.json'}" in said
        assert "graphs     built, greet" in said
        async with httpx.AsyncClient(base_url=url) as http:
            assert (await http.get("/ok")).status_code == 200


async def test_config_names_the_file_of_another_folder(project: Path, database: str, tmp_path: Path) -> None:
    (project / ".env").write_text(f"WHOM=you\nDATABASE_URL={database}\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    async with serving(elsewhere, "--config", str(project / "langgraph.json")) as (url, _):
        assert await get_client(url=url).runs.wait(None, "greet", input={}) == {"text": "Hello, you! Ada"}


def test_a_wrong_file_and_a_missing_package_stop_the_start(project: Path) -> None:
    (project / ".env").write_text("WHOM=x\n")
    (project / "langgraph.json").write_text(json.dumps(PROJECT | {"ui": {}, "speed": 1}))
    said = agenthall("serve", "--port", "0", cwd=project)
    assert said.returncode == 2
    assert "ui: not offered" in said.stderr
    assert "speed: unknown" in said.stderr
    (project / "langgraph.json").write_text(json.dumps(PROJECT | {"dependencies": [".", "no-such-package>=2"]}))
    said = agenthall("serve", "--port", "0", cwd=project)
    assert said.returncode == 2
    assert "not installed: no-such-package>=2 of dependencies" in said.stderr
    assert "-m pip install 'no-such-package>=2'" in said.stderr
    assert not (project / ".agenthall").exists(), "nothing was started"


async def test_commands_of_operators_use_the_database_of_the_project(project: Path, database: str) -> None:
    """Not an embedded one, which they would create."""
    (project / ".env").write_text(f"WHOM=x\nDATABASE_URL={database}\n")
    migrated = agenthall("migrate", cwd=project)
    assert (migrated.returncode, migrated.stdout.strip()) == (0, "nothing to apply"), migrated.stderr
    saved = agenthall("backup", str(project / "saved"), cwd=project)
    assert (saved.returncode, "tables" in saved.stdout) == (0, True), saved.stderr
    mapped = agenthall("catalogue", "map", "nowhere", cwd=project)
    assert "there is no table 'nowhere'" in mapped.stderr
    assert not (project / ".agenthall").exists()


def test_doctor_checks_the_graphs_of_the_project(project: Path) -> None:
    (project / ".env").write_text("WHOM=x\n")
    said = agenthall("doctor", "--port", "0", cwd=project)
    assert "graph greet" in said.stdout
    assert "a compiled graph" in said.stdout
    assert "graph built" in said.stdout
    assert "embed.py:embed makes vectors of 3 numbers" in said.stdout


AUTH = """
from langgraph_sdk import Auth
import helpers

auth = Auth()


@auth.authenticate
async def authenticate(authorization: str | None):
    if authorization != f"Bearer {helpers.SIGN}":
        raise Auth.exceptions.HTTPException(status_code=401, detail="not Ada")
    return "ada"


@auth.on.threads
async def own(ctx, value):
    value.setdefault("metadata", {})["owner"] = ctx.user.identity
    return {"owner": ctx.user.identity}
"""


async def test_a_project_with_handlers_is_served_under_them(project: Path, database: str) -> None:
    (project / ".env").write_text(f"WHOM=world\nDATABASE_URL={database}\n")
    (project / "auth.py").write_text(AUTH)
    auth = {"path": "./auth.py:auth", "disable_studio_auth": True}
    (project / "langgraph.json").write_text(json.dumps({**PROJECT, "auth": auth}))
    async with serving(project) as (url, log):
        async with httpx.AsyncClient(base_url=url) as http:
            refused = await http.post("/threads", json={})
            assert (refused.status_code, refused.json()["detail"]) == (401, "not Ada")
        client = get_client(url=url, headers={"authorization": "Bearer Ada"})
        thread = await client.threads.create()
        assert thread["metadata"] == {"owner": "ada"}
        assert await client.runs.wait(thread["thread_id"], "greet", input={}) == {"text": "Hello, world! Ada"}
        await until(lambda: "threads.*" in log.read_text())


def test_handlers_that_cannot_be_used_stop_the_start(project: Path) -> None:
    (project / ".env").write_text("WHOM=world\n")
    (project / "auth.py").write_text(AUTH + "\nauth.on.crons(own)\n")
    (project / "langgraph.json").write_text(json.dumps({**PROJECT, "auth": {"path": "./auth.py:auth"}}))
    for command in ("serve", "doctor"):
        port = str(free_port())
        ours = ("AGENT", "AUTH", "DATABASE", "CATALOGUE")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        said = subprocess.run(
            [sys.executable, "-m", "robyn_server", command, "--port", port],
            cwd=project,
            env=kept,
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE,
        )
        assert said.returncode != 0
        assert "@auth.on.crons: this server does not offer 'crons'" in said.stdout + said.stderr, command


APP = """
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import JSONResponse
from starlette.routing import Route
import helpers


async def sign(request):
    user = request.user.identity if "user" in request.scope else None
    return JSONResponse({"sign": helpers.SIGN, "user": user})


app = Starlette(routes=[Route("/sign", sign)], middleware=[Middleware(GZipMiddleware)])
"""


async def test_a_project_with_an_app_is_served_with_it(project: Path, database: str) -> None:
    (project / ".env").write_text(f"WHOM=world\nDATABASE_URL={database}\n")
    (project / "auth.py").write_text(AUTH)
    (project / "web.py").write_text(APP)
    http = {"app": "./web.py:app", "enable_custom_route_auth": True}
    (project / "langgraph.json").write_text(json.dumps({**PROJECT, "auth": {"path": "./auth.py:auth"}, "http": http}))
    said = agenthall("doctor", "--port", "0", cwd=project).stdout
    assert (
        "web.py:app answers its own routes; their requests are authenticated; GZipMiddleware runs around all routes"
        in said
    )
    async with serving(project) as (url, log), httpx.AsyncClient(base_url=url) as client:
        assert (await client.get("/sign")).status_code == 401
        known = await client.get("/sign", headers={"authorization": "Bearer Ada"})
        assert known.json() == {"sign": "Ada", "user": "ada"}
        await until(lambda: f"own routes {project / 'web.py'}:app" in log.read_text())
        await until(lambda: "the app's middleware runs around all routes" in log.read_text())


async def test_an_app_that_cannot_be_served_stops_the_start(project: Path, database: str) -> None:
    (project / ".env").write_text(f"WHOM=world\nDATABASE_URL={database}\n")
    (project / "web.py").write_text(APP + "\nraise LookupError('no letters')\n")
    (project / "langgraph.json").write_text(json.dumps({**PROJECT, "http": {"app": "./web.py:app"}}))
    reason = f"the app at '{project / 'web.py'}:app' (http.app) cannot be used: LookupError: no letters"
    assert reason in agenthall("doctor", "--port", "0", cwd=project).stdout
    with pytest.raises(AssertionError, match="no letters"):
        async with serving(project):
            pass
