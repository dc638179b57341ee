"""LangSmith's API as its client uses it: `/info`, `/runs/multipart`, `/runs/batch` and `/feedback/tokens`, with the run
trees that it was sent."""

from __future__ import annotations

import contextlib
import json
from collections import defaultdict
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler
from typing import Any
from uuid import uuid4

from remote.pausable_server import PausableServer

INFO = {
    "version": "0.10.0",
    "batch_ingest_config": {
        "use_multipart_endpoint": True,
        "scale_up_qsize_trigger": 1000,
        "scale_up_nthreads_limit": 16,
        "scale_down_nempty_trigger": 4,
        "size_limit": 100,
        "size_limit_bytes": 20_971_520,
    },
    "instance_flags": {},
}


class LangSmithServer(PausableServer):
    """`runs`: by their id, posts and patches merged, with `inputs` and `outputs`. `keys`: the API keys of requests.

    `feedback_status`: the status of answers to requests for feedback tokens.
    """

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = defaultdict(dict)
        self.keys: set[str] = set()
        self.feedback_status = 200
        super().__init__()

    def ended(self, run_id: str) -> dict[str, Any] | None:
        """The run with this id, once its end was sent."""
        run = self.runs.get(run_id)
        return run if run and run.get("end_time") else None

    def children(self, run_id: str) -> list[dict[str, Any]]:
        return [run for run in list(self.runs.values()) if run.get("parent_run_id") == run_id]

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [run for run in list(self.runs.values()) if run.get("run_type") == kind]

    def answer(self, path: str, kind: str, body: bytes) -> tuple[int, Any]:
        """The status and the body of the answer to a POST."""
        if path.endswith("/feedback/tokens"):
            return self.feedback_status, self._feedback_tokens(body)
        if path.endswith("/runs/multipart"):
            self._take_parts(kind, body)
        elif path.endswith("/runs/batch"):
            self._take_batch(body)
        return 202, {"message": "Runs batch ingested"}

    def _feedback_tokens(self, body: bytes) -> list[dict[str, str]]:
        """A token for each entry of the request, as LangSmith documents them."""
        return [
            {
                "id": str(uuid4()),
                "url": f"{self.url}/feedback/tokens/{each['run_id']}/{each['feedback_key']}",
                "expires_at": "2099-01-01T00:00:00+00:00",
            }
            for each in json.loads(body)
        ]

    def _take_batch(self, body: bytes) -> None:
        sent = json.loads(body)
        for run in [*sent.get("post", ()), *sent.get("patch", ())]:
            self._merge(run["id"], run)

    def _take_parts(self, kind: str, body: bytes) -> None:
        message = BytesParser().parsebytes(b"content-type: " + kind.encode() + b"\r\n\r\n" + body)
        for part in message.get_payload():
            name = str(part.get_param("name", header="content-disposition"))
            _, run_id, *member = name.split(".")
            value = json.loads(part.get_payload(decode=True))
            self._merge(run_id, {member[0]: value} if member else value)

    def _merge(self, run_id: str, members: dict[str, Any]) -> None:
        self.runs[run_id] |= {name: value for name, value in members.items() if value is not None}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                api.asked += 1
                api.released.wait()
                self._send(200, INFO)

            def do_POST(self) -> None:
                body = self._body()
                api.asked += 1
                api.released.wait()
                api.keys.add(self.headers.get("x-api-key", ""))
                self._send(*api.answer(self.path, self.headers.get("content-type", ""), body))

            def _body(self) -> bytes:
                if "content-length" in self.headers:
                    return self.rfile.read(int(self.headers["content-length"]))
                chunks = []
                while size := int(self.rfile.readline(), 16):
                    chunks.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(chunks)

            def _send(self, status: int, value: Any) -> None:
                data = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                with contextlib.suppress(ConnectionError):  # a client that hung was killed
                    self.end_headers()
                    self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler
