"""An MCP server on a thread that names the credentials it was sent without telling them: it answers their SHA-256.

With an issuer it is a protected resource (RFC 9728), and takes only tokens of the issuer for its own URL.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import jwt

from remote.authorization_server import AuthorizationServer

TOOL = "fingerprint"
METADATA = "/.well-known/oauth-protected-resource/mcp"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class GuardedMcp:
    """`refused`: how many requests were answered 401."""

    def __init__(self, issuer: AuthorizationServer | None = None) -> None:
        self.issuer = issuer
        self.refused = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        return f"{self.origin}/mcp"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def accepts(self, authorization: str) -> bool:
        if self.issuer is None:
            return True
        kind, _, token = authorization.partition(" ")
        options = {"require": ["exp", "aud", "iss", "sub"]}
        try:
            jwt.decode(token, self.issuer.secret, ["HS256"], audience=self.url, issuer=self.issuer.url, options=options)
        except jwt.InvalidTokenError:
            return False
        return kind == "Bearer"

    def answer(self, message: Any, sent: str, session: str) -> Any:
        match message["method"]:
            case "initialize":
                server = {"name": "guarded", "version": "1"}
                return {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": server}
            case "tools/list":
                return {"tools": [{"name": TOOL, "inputSchema": {"type": "object", "properties": {}}}]}
            case "tools/call":
                text = f"credential {digest(sent)} session {digest(session)}"
                return {"content": [{"type": "text", "text": text}]}
        return {}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        mcp = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                message = json.loads(self.rfile.read(int(self.headers["content-length"])))
                authorization = self.headers.get("authorization", "")
                if not mcp.accepts(authorization):
                    mcp.refused += 1
                    challenge = f'Bearer resource_metadata="{mcp.origin}{METADATA}", scope="tools"'
                    return self._send(401, b"", {"www-authenticate": challenge})
                if "id" not in message or "method" not in message:
                    return self._send(202, b"")
                sent, session = (
                    authorization or self.headers.get("x-api-key", ""),
                    self.headers.get("mcp-session-id", ""),
                )
                answer = mcp.answer(message, sent, session)
                body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": answer}).encode()
                is_new = message["method"] == "initialize"
                return self._send(200, body, {"mcp-session-id": secrets.token_hex(16)} if is_new else {})

            def do_GET(self) -> None:
                if mcp.issuer is None or urlsplit(self.path).path != METADATA:
                    return self._send(405, b"")
                metadata = {"resource": mcp.url, "authorization_servers": [mcp.issuer.url]}
                return self._send(200, json.dumps(metadata).encode())

            def do_DELETE(self) -> None:
                self._send(200, b"")

            def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler
