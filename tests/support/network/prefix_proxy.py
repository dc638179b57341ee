"""A reverse proxy that serves a server below a path prefix, as an operator's proxy may."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import httpx

_OF_THE_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}


class PrefixProxy:
    """Removes `prefix` and passes requests on to `target`. Other paths are 404. A context manager."""

    def __init__(self, target: str, prefix: str) -> None:
        self._client = httpx.Client(base_url=target, timeout=60)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler(prefix))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}{prefix}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._client.close()

    def _handler(self, prefix: str) -> type[BaseHTTPRequestHandler]:
        client = self._client

        class Handler(BaseHTTPRequestHandler):
            def _pass_on(self) -> None:
                if not self.path.startswith(f"{prefix}/"):
                    self.send_error(404)
                    return
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                headers = {name: text for name, text in self.headers.items() if name.lower() not in _OF_THE_HOP}
                path = self.path[len(prefix) :]
                with client.stream(self.command, path, content=body, headers=headers) as answer:
                    sent = b"".join(answer.iter_raw())
                self.send_response(answer.status_code)
                for name, text in answer.headers.multi_items():
                    if name not in _OF_THE_HOP:
                        self.send_header(name, text)
                self.send_header("content-length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _pass_on  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        return Handler
