"""An MCP server whose answers are too large. It speaks the protocol by hand, since the SDK would not.

- `--port N`: listen on this port.
- `--large WHAT`: `initialize`, `tools`, `many tools`, `pages`, `result` or `nothing`: the part that is large.
- `--bytes N`: how large.
- `--as KIND`: `json`, `events` (an event stream), `lines` (an event of many lines) or `gzip`. The form of large
  answers.
"""

from __future__ import annotations

import argparse
import gzip
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SERVER = {
    "protocolVersion": "2025-06-18",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "large", "version": "1"},
}


def tool(name: str, description: str = "Answer.") -> dict[str, Any]:
    return {"name": name, "description": description, "inputSchema": {"type": "object", "properties": {}}}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    options: argparse.Namespace

    def do_GET(self) -> None:
        self.send_error(405)

    def do_DELETE(self) -> None:
        self.send_error(405)

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if "id" not in message:
            self.send_response(202)
            self.send_header("content-length", "0")
            self.end_headers()
            return
        answer = getattr(self, message["method"].replace("/", "_"))(message.get("params") or {})
        self._send({"jsonrpc": "2.0", "id": message["id"], "result": answer})

    def initialize(self, _params: Any) -> dict[str, Any]:
        return SERVER | ({"instructions": self._large()} if self.options.large == "initialize" else {})

    def ping(self, _params: Any) -> dict[str, Any]:
        return {}

    def tools_list(self, params: Any) -> dict[str, Any]:
        match self.options.large:
            case "tools":
                return {"tools": [tool("large", self._large())]}
            case "many tools":
                return {"tools": [tool(f"tool_{number}") for number in range(self.options.bytes // 100)]}
            case "pages":
                page = int(params.get("cursor") or 0)
                return {"tools": [tool(f"tool_{page}", self._large())], "nextCursor": str(page + 1)}
            case _:
                return {"tools": [tool("large")]}

    def tools_call(self, _params: Any) -> dict[str, Any]:
        return {"content": [{"type": "text", "text": self._large()}]}

    def _large(self) -> str:
        return "x" * self.options.bytes

    def _send(self, message: Any) -> None:
        body = json.dumps(message).encode()
        self.send_response(200)
        match self.options.form if len(body) > 10_000 else "json":
            case "events":
                body = b"event: message\ndata: " + body + b"\n\n"
                self.send_header("content-type", "text/event-stream")
            case "lines":
                body = b"event: message\n" + b"data: \n" * (len(body) // 7) + b"\n"
                self.send_header("content-type", "text/event-stream")
            case "gzip":
                body = gzip.compress(body)
                self.send_header("content-encoding", "gzip")
                self.send_header("content-type", "application/json")
            case _:
                self.send_header("content-type", "application/json")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for start in range(0, len(body), 65_536):
            chunk = body[start : start + 65_536]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_arguments: Any) -> None:
        pass


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--large", default="result")
    parser.add_argument("--bytes", type=int, default=1_000_000)
    parser.add_argument("--as", dest="form", default="json")
    Handler.options = parser.parse_args()
    ThreadingHTTPServer.handle_error = lambda *_arguments: None  # the client hangs up
    ThreadingHTTPServer(("127.0.0.1", Handler.options.port), Handler).serve_forever()
