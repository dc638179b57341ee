"""`agenthall assistants | threads | runs`, against a server with a worker that asks for keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

import httpx
import orjson
import pytest
from commands.command_line import agenthall
from commands.pseudo_terminal import pseudo_terminal
from databases import fresh_database
from deadlines import DEADLINE
from servers.live_server import live_server, until
from users.issued_api_keys import issue_api_key

from robyn_server.cli.http.address import ServerAddress
from robyn_server.cli.http.api import ApiClient
from robyn_server.cli.resources.tables import Column, resource_table
from robyn_server.cli.resources.transcript import transcript

TENANT = "0a000000-0000-4000-8000-0000000000d1"
_UNKNOWN = "0b000000-0000-4000-8000-000000000002"
_COUNTING = {"assistant_id": "counter", "input": {"until": 9000, "delay": 0.02}, "config": {"recursion_limit": 9999}}


@pytest.fixture(scope="module")
async def address(postgres: str, template: str) -> AsyncIterator[dict[str, str]]:
    """The variables that lead to the server."""
    async with fresh_database(postgres, template) as url, live_server(url, AUTH_MODE="keys") as server:
        yield {"AGENTHALL_URL": server.url, "AGENTHALL_API_KEY": await issue_api_key(url, TENANT)}


@pytest.fixture
async def http(address: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"x-api-key": address["AGENTHALL_API_KEY"]}
    async with httpx.AsyncClient(base_url=address["AGENTHALL_URL"], headers=headers, timeout=DEADLINE) as client:
        yield client


@pytest.fixture
async def thread(http: httpx.AsyncClient) -> str:
    """A thread with a conversation."""
    thread = (await http.post("/threads", json={"metadata": {"topic": "greeting"}})).json()["thread_id"]
    message = {"role": "user", "content": "hello \x1b[31m"}
    body = {"assistant_id": "agent", "input": {"messages": [message]}}
    await http.post(f"/threads/{thread}/runs/wait", json=body)
    return str(thread)


Command = Callable[..., Any]


@pytest.fixture
def run(address: dict[str, str]) -> Command:
    """Run a command, and return its output: text, or JSON with `-o json`."""

    async def run(*arguments: str) -> Any:
        done = await asyncio.to_thread(agenthall, *arguments, **address)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return orjson.loads(done.stdout) if "json" in arguments else done.stdout

    return run


async def test_assistants_are_listed_by_name(run: Command, http: httpx.AsyncClient) -> None:
    ada = (await http.post("/assistants", json={"graph_id": "echo", "name": "Ada"})).json()
    found = await run("assistants", "list", "-o", "json")
    assert found[0]["name"] == "Ada" and len(found) > 3
    assert await run("assistants", "list", "--name", "ada", "-o", "json") == [ada]
    assert [each["graph_id"] for each in await run("assistants", "list", "--graph", "echo", "-o", "json")] == [
        "echo"
    ] * 2
    head, _, row = (await run("assistants", "list", "--name", "Ada")).splitlines()
    assert head.split() == ["name", "assistant", "graph", "from", "model", "version", "updated"]
    assert row.split()[:4] == ["Ada", ada["assistant_id"], "echo", "user"]


async def test_a_list_that_goes_on_says_so(address: dict[str, str]) -> None:
    done = await asyncio.to_thread(agenthall, "assistants", "list", "--limit", "2", **address)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 4)
    assert done.stderr == "agenthall: there are more; --limit 2 ends the list\n"


async def test_threads_are_listed_and_shown_with_their_conversation(run: Command, thread: str) -> None:
    (row,) = [line for line in (await run("threads", "list", "--status", "idle")).splitlines() if thread in line]
    assert row.split()[1:3] == ["idle", "agent"]
    assert thread in [each["thread_id"] for each in await run("threads", "list", "-o", "json")]
    shown = await run("threads", "show", thread)
    assert '"topic":"greeting"' in shown and "\nyou: hello " in shown and "\nagent: I am the offline model" in shown
    assert "\x1b" not in shown
    assert (await run("threads", "show", thread, "-o", "json"))["values"]["messages"][0]["type"] == "human"


async def test_runs_are_listed_and_shown(run: Command, thread: str) -> None:
    (listed,) = await run("runs", "list", "--thread", thread, "-o", "json")
    assert listed["run_id"] in (await run("runs", "list"))
    assert await run("runs", "list", "--status", "timeout") == "no runs\n"
    assert await run("runs", "show", listed["run_id"], "-o", "json") == listed
    shown = await run("runs", "show", listed["run_id"], "--thread", thread)
    assert "success" in shown and thread in shown and "\x1b" not in shown


async def test_a_run_is_cancelled_by_its_id_alone(run: Command, http: httpx.AsyncClient) -> None:
    thread = (await http.post("/threads", json={})).json()["thread_id"]
    run_id = (await http.post(f"/threads/{thread}/runs", json=_COUNTING)).json()["run_id"]
    await until(lambda: _is_running(http, thread, run_id))
    assert await run("runs", "cancel", run_id) == f"run {run_id} is interrupted\n"
    assert (await run("runs", "list", "--status", "interrupted", "-o", "json"))[0]["run_id"] == run_id


async def _is_running(http: httpx.AsyncClient, thread: str, run_id: str) -> bool:
    return (await http.get(f"/threads/{thread}/runs/{run_id}")).json()["status"] == "running"


async def test_statuses_have_colours_in_a_terminal(address: dict[str, str], thread: str) -> None:
    def listed() -> tuple[str, str]:
        with pseudo_terminal("runs", "list", "--thread", thread, environment=address, columns=80) as terminal:
            assert terminal.ended() == 0
            return terminal.said, terminal.plain

    said, plain = await asyncio.to_thread(listed)
    assert "\x1b[32msuccess\x1b[0m" in said
    assert max(map(len, plain.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("threads", "show", _UNKNOWN), 1, f"no thread has the id {_UNKNOWN}"),
        (("threads", "show", "../keys"), 1, "Invalid thread ID"),
        (("runs", "show", "abc"), 1, "no run abc in the 20 threads that changed last; name its --thread"),
        (("runs", "cancel", _UNKNOWN, "--thread", _UNKNOWN), 1, f"no run has the id {_UNKNOWN}"),
        (("runs", "list", "--thread", _UNKNOWN), 1, _UNKNOWN),
        (("runs", "list", "--status", "done"), 2, "--status"),
        (("assistants", "list", "--limit", "0"), 2, "--limit"),
        (("assistants", "list", "--api-key", "ahk_wrong"), 1, "key"),
    ],
)
def test_what_goes_wrong_is_one_line_and_an_exit_code(
    address: dict[str, str], arguments: tuple[str, ...], status: int, said: str
) -> None:
    done = agenthall(*arguments, **address)
    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    assert said in done.stderr
    assert status == 2 or (done.stderr.startswith("agenthall: ") and done.stderr.count("\n") == 1)


async def test_pages_are_read_to_the_end_or_the_limit(
    address: dict[str, str], http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("robyn_server.cli.http.api.PAGE", 2)
    for number in range(5):
        await http.post("/threads", json={"metadata": {"page": number // 5}})
    thread = (await http.post("/threads", json={})).json()["thread_id"]
    for _ in range(3):
        await http.post(f"/threads/{thread}/runs/wait", json={"assistant_id": "echo", "input": {"text": "x"}})

    def read() -> list[int]:
        where = ServerAddress(address["AGENTHALL_URL"], "")
        with ApiClient(where, address["AGENTHALL_API_KEY"], None) as api:
            pages = [api.search("threads", {"metadata": {"page": 0}}, limit) for limit in (None, 3, 4, 9)]
            runs = [api.runs(thread, limit=limit) for limit in (None, 2)]
            return [len({each["thread_id"] for each in page}) for page in pages] + [len(list(page)) for page in runs]

    assert await asyncio.to_thread(read) == [5, 3, 4, 5, 3, 2]


def test_a_cell_has_no_control_characters_and_no_markup() -> None:
    row = {"id": str(UUID(int=1)), "name": "[red]a\x1b]0;title\x07"}
    table = resource_table((Column("id", lambda one: one["id"]), Column("name", lambda one: one["name"])), [row], "-")
    assert "[red]a" in table and "\x1b" not in table and "\x07" not in table


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (None, ""),
        ({"count": 1}, '{\n  "count": 1\n}\n'),
        (
            {"messages": [{"type": "human", "content": "a"}, "odd", {"type": "tool", "name": "t", "content": "b"}]},
            "you: a\n  ← t: b\n",
        ),
        (
            {"messages": [{"type": "ai", "content": "", "tool_calls": [{"name": "t", "args": {"x": 1}}]}]},
            "  → t(x=1)\n",
        ),
    ],
)
def test_a_transcript_shows_messages_or_else_the_values(values: Any, text: str) -> None:
    assert transcript(values) == text
