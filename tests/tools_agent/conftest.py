"""Real MCP servers as processes, and a real model server that speaks OpenAI's wire protocol."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from deadlines import DEADLINE
from remote.model_api import ModelApi
from remote.raw_mcp import RawMcp
from remote.strict_anthropic import StrictAnthropic
from remote.strict_openai import StrictOpenAI

from tools_agent.agent import close_sessions
from tools_agent.limits import Limits, set_limits

SERVERS = Path(__file__).parent.parent / "mcp_servers"


class McpProcess:
    """An MCP server process. `lines`: its output so far."""

    def __init__(self, script: Path, *arguments: str, port: int | None = None) -> None:
        self.port = port or free_port()
        self.command = [sys.executable, str(script), "--port", str(self.port), *arguments]
        self.lines: list[str] = []
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self._read, args=(self.process,), daemon=True).start()
        wait_until(lambda: self.process.poll() is not None or _accepts(self.port), "the MCP server accepts")
        assert self.process.poll() is None, f"{self.command} ended"

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        for line in process.stdout:
            self.lines.append(line.rstrip())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        self.kill()
        self.start()

    def calls(self, tool: str) -> int:
        return sum(line.startswith(f"call {tool} ") for line in self.lines)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _accepts(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def wait_until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"waited {DEADLINE} s in vain until {what}"
        time.sleep(0.02)


async def eventually(condition: Callable[[], bool], what: str) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.01)
    assert condition(), what


@pytest.fixture(name="eventually")
def _eventually() -> Any:
    return eventually


@pytest.fixture(scope="module")
def shared_toolbox() -> Iterator[McpProcess]:
    server = McpProcess(SERVERS / "toolbox.py")
    yield server
    server.kill()


@pytest.fixture(scope="module")
def second_toolbox() -> Iterator[McpProcess]:
    server = McpProcess(SERVERS / "toolbox.py", "--offer", "echo,slow")
    yield server
    server.kill()


@pytest.fixture(scope="module")
def interaction_server() -> Iterator[McpProcess]:
    server = McpProcess(SERVERS / "interaction_server.py")
    yield server
    server.kill()


@pytest.fixture
def start_mcp() -> Iterator[Callable[..., McpProcess]]:
    started: list[McpProcess] = []

    def start(script: str | Path, *arguments: str, port: int | None = None) -> McpProcess:
        started.append(McpProcess(SERVERS / script, *arguments, port=port))
        return started[-1]

    yield start
    for server in started:
        server.kill()


@pytest.fixture(autouse=True)
async def _fresh_sessions() -> AsyncIterator[None]:
    set_limits(Limits())
    yield
    await close_sessions()
    set_limits(Limits())


class SilentServer:
    """The URL of a server that accepts connections and never answers."""

    def __init__(self) -> None:
        self.connections: list[asyncio.StreamWriter] = []
        self.url = ""

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _accept(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)

    def close(self) -> None:
        for writer in self.connections:
            writer.close()
        self._server.close()


@pytest.fixture
async def silent_server() -> AsyncIterator[SilentServer]:
    server = SilentServer()
    await server.start()
    yield server
    server.close()


class ModelServer:
    """Serves POST /v1/chat/completions, streaming or not. `script`: the next answers, texts or (tool, arguments)."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.script: list[str | tuple[str, dict[str, Any]]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        model = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                body["_path"], body["_authorization"] = self.path, self.headers["authorization"]
                model.requests.append(body)
                if body.get("model") in {None, "gpt-none"}:
                    return self._send(404, "application/json", json.dumps({"error": {"message": "no gpt-none"}}))
                delta = _delta(model.script.pop(0) if model.script else "fine")
                return self._stream(delta) if body.get("stream") else self._whole(delta)

            def _whole(self, delta: dict[str, Any]) -> None:
                choice = {"index": 0, "message": {"role": "assistant", **delta}, "finish_reason": "stop"}
                usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
                self._send(200, "application/json", json.dumps(_completion(choices=[choice], usage=usage)))

            def _stream(self, delta: dict[str, Any]) -> None:
                pieces = (
                    [{"content": word} for word in (delta["content"] or "").split(" ")] if delta["content"] else [delta]
                )
                chunks = [_completion(choices=[{"index": 0, "delta": piece}]) for piece in pieces]
                chunks.append(_completion(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}]))
                events = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
                self._send(200, "text/event-stream", "".join([*events, "data: [DONE]\n\n"]))

            def _send(self, status: int, kind: str, body: str) -> None:
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(body.encode())))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


def _delta(answer: str | tuple[str, dict[str, Any]]) -> dict[str, Any]:
    if isinstance(answer, str):
        return {"content": answer}
    function = {"name": answer[0], "arguments": json.dumps(answer[1])}
    return {"content": None, "tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}]}


def _completion(**fields: Any) -> dict[str, Any]:
    return {"id": "c1", "object": "chat.completion", "created": 1, "model": "gpt-test", **fields}


@pytest.fixture
def model_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    server = ModelServer()
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-server")
    yield server
    server.close()


@pytest.fixture
def strict_openai(monkeypatch: pytest.MonkeyPatch) -> Iterator[StrictOpenAI]:
    api = StrictOpenAI()
    monkeypatch.setenv("OPENAI_BASE_URL", api.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-server")
    yield api
    api.close()


@pytest.fixture
def strict_anthropic(monkeypatch: pytest.MonkeyPatch) -> Iterator[StrictAnthropic]:
    api = StrictAnthropic()
    monkeypatch.setenv("ANTHROPIC_BASE_URL", api.url)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-of-the-server")
    yield api
    api.close()


@pytest.fixture(params=["openai:gpt-test", "anthropic:claude-test"])
def provider(request: pytest.FixtureRequest) -> tuple[str, ModelApi]:
    """The name of a model, and the strict stand-in that serves it."""
    fixture = "strict_openai" if request.param.startswith("openai") else "strict_anthropic"
    return request.param, request.getfixturevalue(fixture)


@pytest.fixture
def raw_mcp() -> Iterator[Callable[..., RawMcp]]:
    """`raw_mcp(tools, results)` starts an MCP server that sends exactly that."""
    started: list[RawMcp] = []

    def start(tools: Any = (), results: dict[str, Any] | None = None) -> RawMcp:
        started.append(RawMcp(tools, results))
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.fixture
def configure() -> Callable[..., dict[str, Any]]:
    """Build a RunnableConfig of an agent. `servers`: (name, url) or dicts."""

    def make(*servers: Any, **configurable: Any) -> dict[str, Any]:
        entries = [one if isinstance(one, dict) else {"name": one[0], "url": one[1]} for one in servers]
        configurable.setdefault("model_name", "offline:test")
        return {"configurable": {**configurable, "mcp_config": {"servers": entries}}}

    return make


@pytest.fixture
def ask() -> Any:
    async def run(compiled: Any, text: str) -> list[Any]:
        state = await compiled.ainvoke({"messages": [{"role": "user", "content": text}]})
        return list(state["messages"])

    return run
