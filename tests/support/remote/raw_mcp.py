"""An MCP server on a thread that sends exactly what a test says, also what the SDK's own server never sends."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

JSON = "application/json"
EVENTS = "text/event-stream"
OBJECT: Any = {"type": "object", "properties": {}}


@dataclass(frozen=True)
class Raw:
    """A whole HTTP answer. `{id}` in its body is the id of the request."""

    body: bytes
    kind: str = JSON
    status: int = 200

    def render(self, request: int) -> bytes:
        return self.body.replace(b"{id}", str(request).encode())


def tool(name: Any, schema: Any = OBJECT, **more: Any) -> dict[str, Any]:
    return {"name": name, "inputSchema": schema, **more}


def text(value: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": value}]}


class RawMcp:
    """`tools`: the result of tools/list, a list of tools, or Raw. `results`: those of tools/call by tool, or Raw."""

    def __init__(self, tools: Any = (), results: dict[str, Any] | None = None) -> None:
        self.tools = tools
        self.results = results or {}
        self.initialized: Raw | None = None
        """The answer to initialize; None: the usual one."""
        self.calls: list[tuple[str, Any]] = []
        self.paused = threading.Event()
        """Set it to let the tools in `slow` go on."""
        self.slow: set[str] = set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/mcp"

    def close(self) -> None:
        self.paused.set()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, message: Any) -> Any:
        match message["method"]:
            case "initialize":
                server = {"name": "raw", "version": "1"}
                usual = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": server}
                return self.initialized or usual
            case "tools/list":
                return {"tools": list(self.tools)} if isinstance(self.tools, list | tuple) else self.tools
            case "tools/call":
                name = message["params"]["name"]
                self.calls.append((name, message["params"].get("arguments")))
                if name in self.slow:
                    self.paused.wait()
                return self.results.get(name, text(f"{name} ran"))
            case _:
                return {}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        mcp = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                message = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if "id" not in message or "method" not in message:
                    return self._send(202, JSON, b"")
                answer = mcp.answer(message)
                if isinstance(answer, Raw):
                    return self._send(answer.status, answer.kind, answer.render(message["id"]))
                body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": answer})
                return self._send(200, JSON, body.encode())

            def do_GET(self) -> None:
                self._send(405, JSON, b"")

            def do_DELETE(self) -> None:
                self._send(200, JSON, b"")

            def _send(self, status: int, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler
