"""`agenthall new` writes a project, and `agenthall dev` serves it and loads it again when a file changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from commands.command_line import agenthall
from langgraph_sdk import get_client
from servers.live_server import until
from servers.served_project import serving

QUESTION = {"messages": [{"role": "user", "content": "Use the tool current_time"}]}


@pytest.fixture
def project(tmp_path: Path, database: str) -> Path:
    folder = tmp_path / "my agent"
    made = agenthall("new", str(folder))
    assert (made.returncode, made.stderr) == (0, "")
    (folder / ".env").write_text(f"DATABASE_URL={database}\n")
    return folder


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


class Log:
    """The output of the server, of which every part is read once."""

    def __init__(self, file: Path) -> None:
        self._file, self._seen = file, len(file.read_text())

    async def says(self, text: str) -> str:
        await until(lambda: text in self._file.read_text()[self._seen :])
        whole = self._file.read_text()
        said, self._seen = whole[self._seen :], len(whole)
        return said


async def test_a_change_is_served_and_a_mistake_is_shown_until_it_is_corrected(project: Path) -> None:
    agent, env = project / "agent.py", project / ".env"
    async with serving(project, command="dev") as (url, file):
        client, log = get_client(url=url), Log(file)

        async def answer() -> str:
            messages: list[Any] = (await client.runs.wait(None, "agent", input=QUESTION))["messages"]
            return str(messages[-1]["content"])

        assert "The tool current_time answered" in await answer()
        edit(agent, "def current_time", "def time_now")
        edit(agent, "[current_time]", "[time_now]")
        assert "agent.py changed; reloading" in await log.says('"event": "reloaded"')
        assert "no tool named current_time" in await answer()

        edit(agent, "graph = create_agent(", "graph = create_agent((")
        said = await log.says("graph cannot be loaded")
        assert "SyntaxError" in said and "agent.py" in said and "create_agent((" in said
        failed = await client.runs.wait(None, "agent", input=QUESTION, raise_error=False)
        assert "SyntaxError" in failed["__error__"]["message"]
        edit(agent, "graph = create_agent((", "graph = create_agent(")
        await log.says('"event": "reloaded"')

        env.write_text(env.read_text() + "AGENTHALL_WORKER_SLOTS=many\n")
        await log.says("worker cannot work with these settings; waiting for a change")
        env.write_text(env.read_text().replace("many", "3"))
        assert '"slots": 3' in await log.says('"event": "reloaded"')
        content = json.loads((project / "langgraph.json").read_text())
        (project / "langgraph.json").write_text(json.dumps(content | {"graphs": {}}))
        assert "graphs: name at least one" in await log.says("not reloaded")
        assert "no tool named current_time" in await answer(), "the last project that was right is served"


APP = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"one"})
"""


async def test_an_edit_of_the_projects_app_is_served(project: Path) -> None:
    (project / "web.py").write_text(APP)
    content = json.loads((project / "langgraph.json").read_text())
    (project / "langgraph.json").write_text(json.dumps(content | {"http": {"app": "./web.py:app"}}))
    async with serving(project, command="dev") as (url, file), httpx.AsyncClient(base_url=url) as http:
        log = Log(file)
        assert (await http.get("/letters")).text == "one"
        edit(project / "web.py", 'b"one"', 'b"two"')
        await log.says('"event": "reloaded"')
        assert (await http.get("/letters")).text == "two"
        edit(project / "web.py", "async def app", "async def other")
        assert "has no attribute 'app'" in await log.says("cannot work with these settings; waiting for a change")
        edit(project / "web.py", "async def other", "async def app")
        await log.says('"event": "reloaded"')
        assert (await http.get("/letters")).text == "two"


def test_a_project_is_written_into_an_empty_folder_only(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("mine")
    refused = agenthall("new", str(tmp_path))
    assert (refused.returncode, "is not empty" in refused.stderr) == (2, True)
    assert [each.name for each in tmp_path.iterdir()] == ["other"]
    made = agenthall("new", ".", cwd=_folder(tmp_path / "empty"))
    assert made.returncode == 0
    assert {each.name for each in (tmp_path / "empty").iterdir()} == {
        ".env",
        ".gitignore",
        "README.md",
        "agent.py",
        "langgraph.json",
    }


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_dev_without_a_project_says_how_to_make_one(tmp_path: Path) -> None:
    refused = agenthall("dev", cwd=tmp_path)
    assert (refused.returncode, "agenthall new" in refused.stderr) == (2, True)
