"""`agenthall chat`, in a terminal and in scripts, against a server with a worker."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from commands.pseudo_terminal import pseudo_terminal
from databases import fresh_database
from deadlines import DEADLINE
from network.faulty_proxy import FaultyProxy
from served import chat_graphs
from servers.live_server import live_server, until
from users.issued_api_keys import issue_api_key

from robyn_server.cli.chat.conversation import Conversation, Outcome
from robyn_server.cli.chat.display import Display
from robyn_server.cli.chat.session import Session
from robyn_server.cli.http.address import ServerAddress
from robyn_server.cli.http.api import ApiClient

_UNKNOWN = "0b000000-0000-4000-8000-000000000002"
TENANT = "0a000000-0000-4000-8000-0000000000d1"
_GRAPHS = {name: f"{chat_graphs.__file__}:{name}" for name in chat_graphs.GRAPHS}


@pytest.fixture(scope="module")
async def address(postgres: str, template: str) -> AsyncIterator[dict[str, str]]:
    """The variables that lead to the server."""
    settings = {"AUTH_MODE": "keys", "AGENTHALL_GRAPHS": orjson.dumps(_GRAPHS).decode()}
    async with fresh_database(postgres, template) as url, live_server(url, **settings) as server:
        yield {"AGENTHALL_URL": server.url, "AGENTHALL_API_KEY": await issue_api_key(url, TENANT)}


@pytest.fixture
async def http(address: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"x-api-key": address["AGENTHALL_API_KEY"]}
    async with httpx.AsyncClient(base_url=address["AGENTHALL_URL"], headers=headers, timeout=DEADLINE) as client:
        yield client


Script = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def script(address: dict[str, str], tmp_path: Path) -> Script:
    """Run `agenthall chat` without a terminal."""

    def run(*arguments: str, stdin: str | bytes = b"", **environment: str) -> subprocess.CompletedProcess[str]:
        given = stdin.encode() if isinstance(stdin, str) else stdin
        command = [sys.executable, "-m", "robyn_server", "chat", *arguments]
        surroundings = {"PATH": "/usr/bin:/bin", **address, **environment}
        done = subprocess.run(
            command, input=given, env=surroundings, cwd=tmp_path, capture_output=True, timeout=DEADLINE, check=False
        )
        return subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


def test_a_dialogue_streams_shows_tools_and_is_continued(address: dict[str, str], script: Script) -> None:
    with pseudo_terminal("chat", "researcher", environment=address) as terminal:
        terminal.expect("you>")
        terminal.type("Use the tool search_law: what about rent?\n")
        terminal.expect("→ search_law(query=")
        terminal.expect("← search_law: § 535 answers")
        terminal.expect("The tool search_law answered")
        terminal.expect("you>")
        terminal.type("What did I say first?\n")
        terminal.expect("The first thing that you said was")
        terminal.expect("you>")
        terminal.type("\x04")
        terminal.expect("Continue with: agenthall chat researcher --thread ")
        assert terminal.ended() == 0
        assert "\x1b]0;" not in terminal.said and "\x07" not in terminal.said, "text of others sets no title"
        assert "\x1b[36m" in terminal.said, "a call has a colour"
    again = terminal.plain.rpartition("--thread ")[2].split()[0]
    continued = script("researcher", "--thread", again, "--once", "What did I say first?")
    assert "what about rent?" in continued.stdout.rpartition("The first thing that you said was")[2]


def test_a_terminal_without_colours_gets_none(address: dict[str, str]) -> None:
    environment = {**address, "NO_COLOR": "1"}
    with pseudo_terminal("chat", "researcher", environment=environment, columns=50) as terminal:
        terminal.expect("you>")
        terminal.type("Use the tool search_law: what about the rent of a small flat in a very long street?\n")
        terminal.expect("answered")
        terminal.expect("you>")
        terminal.type("\x04")
        assert terminal.ended() == 0
        assert not any(f"\x1b[{colour}m" in terminal.said for colour in (31, 32, 33, 36, "1;32"))
        (call,) = [line for line in terminal.plain.splitlines() if "→ search_law" in line]
        assert len(call) <= 50 and call.endswith("…"), call


async def test_ctrl_c_cancels_the_run_and_the_conversation_goes_on(
    address: dict[str, str], http: httpx.AsyncClient
) -> None:
    def dialogue() -> str:
        with pseudo_terminal("chat", "endless", environment=address) as terminal:
            terminal.expect("you>")
            terminal.type("begin\n")
            terminal.expect("I am the offline model")
            terminal.type("\x03")
            terminal.expect("cancelled")
            terminal.expect("you>")
            terminal.type("again\n")
            terminal.expect("I am the offline model")
            terminal.type("\x03")
            terminal.expect("you>")
            terminal.type("\x04")
            assert terminal.ended() == 0
            return terminal.plain.rpartition("--thread ")[2].split()[0]

    thread = await asyncio.to_thread(dialogue)
    runs = (await http.get(f"/threads/{thread}/runs")).json()
    assert [run["status"] for run in runs] == ["interrupted", "interrupted"]
    state = (await http.get(f"/threads/{thread}/state")).json()["values"]["messages"]
    assert [message["content"] for message in state] == ["begin", "again"]


def test_ctrl_c_at_two_prompts_in_a_row_ends_the_conversation(capsys: pytest.CaptureFixture[str]) -> None:
    lines: Iterator[str | None] = iter([None, "", None, None, "never asked"])

    def ask(_prompt: str) -> str:
        if (line := next(lines)) is None:
            raise KeyboardInterrupt
        return line

    with ApiClient(ServerAddress("http://127.0.0.1:9", ""), None, None) as api:
        conversation = Conversation(api, {"assistant_id": "a", "name": "a"})
        Session(conversation, Display(is_dialogue=False)).talk(ask, Outcome())
    assert next(lines) == "never asked"
    assert capsys.readouterr().err.count("another Ctrl-C ends the conversation") == 2


async def test_a_signal_to_end_cancels_the_run_and_ends(address: dict[str, str], http: httpx.AsyncClient) -> None:
    def dialogue() -> int:
        with pseudo_terminal("chat", "endless", environment=address) as terminal:
            terminal.expect("you>")
            terminal.type("begin\n")
            terminal.expect("I am the offline model")
            terminal.terminate()
            return terminal.ended()

    assert await asyncio.to_thread(dialogue) == 130
    (thread,) = (await http.post("/threads/search", json={"limit": 1, "sort_by": "created_at"})).json()
    assert thread["status"] == "interrupted"


def test_questions_are_asked_and_answered(address: dict[str, str]) -> None:
    with pseudo_terminal("chat", "asker", environment=address) as terminal:
        terminal.expect("you>")
        terminal.type("hello\n")
        terminal.expect('? Which city? {"hint":"a name"}')
        terminal.expect("answer>")
        terminal.type("Bonn\n")
        terminal.expect("? Are you sure?")
        terminal.expect("answer>")
        terminal.type("true\n")
        terminal.expect("'Bonn', True")
        terminal.expect("you>")
        terminal.type("\x04")
        assert terminal.ended() == 0


def test_a_tool_call_is_approved_or_rejected(address: dict[str, str]) -> None:
    with pseudo_terminal("chat", "careful", environment=address) as terminal:
        for answer, follows in (("\n", "← search_law: § 535 answers"), ("not that one\n", "not that one")):
            terminal.expect("you>")
            terminal.type("Use the tool search_law: what about rent?\n")
            terminal.expect("? search_law({")
            terminal.expect("answer>")
            terminal.type(answer)
            terminal.expect(follows)


async def test_a_question_stays_open_while_the_server_cannot_be_reached(address: dict[str, str]) -> None:
    async with FaultyProxy(int(address["AGENTHALL_URL"].rpartition(":")[2])).serving() as proxy:
        there = {**address, "AGENTHALL_URL": f"http://127.0.0.1:{proxy.port}"}
        loop = asyncio.get_running_loop()

        def dialogue() -> None:
            with pseudo_terminal("chat", "asker", environment=there) as terminal:
                terminal.expect("you>")
                terminal.type("hello\n")
                terminal.expect("answer>")
                asyncio.run_coroutine_threadsafe(_break(proxy), loop).result()
                terminal.type("Bonn\n")
                terminal.expect("agenthall: no server at")
                proxy.is_refusing = False
                terminal.expect("? Which city?")
                terminal.type("Cologne\n")
                terminal.expect("? Are you sure?")

        await asyncio.to_thread(dialogue)


async def _break(proxy: FaultyProxy) -> None:
    proxy.is_refusing = True
    proxy.cut()


def test_a_breakpoint_is_passed_with_enter(address: dict[str, str]) -> None:
    with pseudo_terminal("chat", "paused", environment=address) as terminal:
        terminal.expect("you>")
        terminal.type("hello\n")
        terminal.expect("paused at a breakpoint")
        terminal.expect("you>")
        terminal.type("\n")
        terminal.expect("it went on")


def test_an_error_is_one_line_and_the_conversation_goes_on(address: dict[str, str]) -> None:
    with pseudo_terminal("chat", "failing", environment=address) as terminal:
        for _ in range(2):
            terminal.expect("you>")
            terminal.type("hello\n")
            terminal.expect("agenthall: ValueError: this graph always fails")
        terminal.expect("you>")


def test_a_script_gets_the_answer_alone_on_standard_output(script: Script) -> None:
    said = script("researcher", "--once", "Use the tool search_law: what about rent?")
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("The tool search_law answered") and said.stdout.endswith("\n")
    assert "→ search_law(query=" in said.stderr and "← search_law: § 535" in said.stderr
    assert "\x1b" not in said.stderr


def test_a_message_comes_from_standard_input(script: Script) -> None:
    said = script("researcher", stdin="first line\nlast line, ünïcode\n")
    assert said.returncode == 0, said.stderr
    assert "ünïcode" in said.stdout


def test_what_an_agent_says_reaches_a_script_unchanged(script: Script) -> None:
    assert script("strange", "--once", "x").stdout == "one\u2028two\x85three \x1b[31mred\n"


def test_a_script_learns_by_the_exit_code_that_the_agent_asks(script: Script) -> None:
    asked = script("asker", "--once", "hello")
    assert (asked.returncode, asked.stdout) == (3, "")
    assert "? Which city?" in asked.stderr
    thread = asked.stderr.rpartition("--thread ")[2].split()[0]
    second = script("asker", "--thread", thread, "--once", "Bonn")
    assert (second.returncode, "? Are you sure?" in second.stderr) == (3, True)
    assert script("asker", "--thread", thread, "--once", '"true"').stdout == "'Bonn', 'true'\n"


async def test_a_registered_agent_is_found_by_its_agent_id(script: Script, http: httpx.AsyncClient) -> None:
    body = {"name": "Display name", "jobs": {"schedule_to_start_seconds": 0}}
    assert (await http.put("/agents/configurations/chat-bot", json=body)).status_code == 201
    done = await asyncio.to_thread(script, "chat-bot", "--once", "x")
    assert (done.returncode, "no_instance" in done.stderr) == (1, True), done.stderr


async def test_an_agent_is_found_by_its_id_or_its_only_name(script: Script, http: httpx.AsyncClient) -> None:
    named = [{"graph_id": "researcher", "name": name} for name in ("Ada", "Ada Second", "Twin", "Twin", "asker")]
    made = [(await http.post("/assistants", json=body)).json()["assistant_id"] for body in named]

    def said(which: str) -> tuple[int, str]:
        done = script(which, "--once", "hello")
        return done.returncode, done.stdout + done.stderr

    for which in ("Ada", "ada", made[0]):
        assert (await asyncio.to_thread(said, which))[0] == 0
    code, text = await asyncio.to_thread(said, "asker")
    assert (code, "Which city?" in text) == (3, True), "the graph's name comes first"
    code, text = await asyncio.to_thread(said, "Twin")
    assert (code, text.count("\n"), made[2] in text, made[3] in text) == (1, 1, True, True)
    code, text = await asyncio.to_thread(said, "second")
    assert (code, "there are Ada Second" in text) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "options", "status", "said"),
    [
        (("nobody", "--once", "x"), {}, 1, "no assistant and no graph is called 'nobody'"),
        ((_UNKNOWN, "--once", "x"), {}, 1, f"no assistant has the id {_UNKNOWN}"),
        (("failing", "--once", "x"), {}, 1, "ValueError: this graph always fails"),
        (("asker", "--once", "x", "--thread", "here"), {}, 1, "thread"),
        (("asker", "--once", "x", "--thread", _UNKNOWN), {}, 1, f"no thread has the id {_UNKNOWN}"),
        (("asker", "--once", " "), {}, 2, "--once: the message is empty"),
        (("asker\udcff", "--once", "x"), {}, 2, "not UTF-8"),
        (("asker", "--once", "\udcff"), {}, 2, "--once: the message is not UTF-8"),
        (("asker", "--once", "x", "--thread", "\udcff"), {}, 1, "not UTF-8"),
        (("asker",), {}, 2, "standard input: the message is empty"),
        (("asker",), {"stdin": b"\xff"}, 2, "standard input: the message is not UTF-8"),
        (("asker", "--once", "x"), {"AGENTHALL_API_KEY": ""}, 1, "--api-key"),
        (("asker", "--once", "x"), {"AGENTHALL_URL": "http://127.0.0.1:9"}, 1, "no server at"),
    ],
)
def test_what_goes_wrong_is_one_line_and_an_exit_code(
    script: Script, arguments: tuple[str, ...], options: dict[str, Any], status: int, said: str
) -> None:
    done = script(*arguments, **options)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (status, "", 1), done.stderr
    assert done.stderr.startswith("agenthall: ") and said in done.stderr


async def test_a_run_that_no_worker_takes_says_so(postgres: str, template: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    settings = {"AGENTHALL_GRAPHS": orjson.dumps(_GRAPHS).decode(), "AGENTHALL_HEARTBEAT": "0.1"}
    async with (
        fresh_database(postgres, template) as url,
        live_server(url, **settings) as server,
        server.http() as http,
    ):
        thread = (await http.post("/threads", json={})).json()["thread_id"]
        busy = {"assistant_id": "waiting", "input": {"messages": [{"role": "user", "content": str(tmp_path / "gate")}]}}
        await http.post(f"/threads/{thread}/runs", json=busy)
        command = [sys.executable, "-m", "robyn_server", "chat", "researcher", "--thread", thread, "--once", "hello"]
        environment = {"PATH": "/usr/bin:/bin", "AGENTHALL_URL": server.url}
        with log.open("wb") as out:
            process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            await until(lambda: "the run waits" in log.read_text())
            (tmp_path / "gate").touch()
            await until(lambda: process.poll() is not None)
        finally:
            process.kill()
            process.wait()
    assert (process.returncode, log.read_text().count("the run waits")) == (0, 1), log.read_text()


async def test_a_broken_stream_is_joined_where_it_broke(address: dict[str, str], tmp_path: Path) -> None:
    gate, log = tmp_path / "gate", tmp_path / "log"
    async with FaultyProxy(int(address["AGENTHALL_URL"].rpartition(":")[2])).serving() as proxy:
        environment = {"PATH": "/usr/bin:/bin", **address, "AGENTHALL_URL": f"http://127.0.0.1:{proxy.port}"}
        command = [sys.executable, "-m", "robyn_server", "chat", "waiting", "--once", str(gate)]
        with log.open("wb") as out:
            process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            await until(lambda: "“begin”" in log.read_text())
            for _ in range(2):
                accepted = proxy.accepted
                proxy.cut()
                await until(lambda before=accepted: proxy.accepted > before)
            gate.touch()
            await until(lambda: process.poll() is not None)
        finally:
            process.kill()
            process.wait()
    said = log.read_text()
    assert (process.returncode, said.count("“begin”"), said.count("“end”")) == (0, 1, 1), said
