"""Stand-ins for the APIs of model providers, which refuse what the public APIs refuse.

A stand-in answers by rule. For each `call NAME {"argument": …}` in the last message of the user it calls a tool, all at
once. When it has the results, and for any other message, it answers with text. `script` overrides the rule.

`requests` holds the bodies that were accepted, `refusals` the reasons of the others.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_CALL = re.compile(r"\bcall (\S+) (?=\{)")


class Refused(Exception):
    """A request that the provider answers with 400."""


@dataclass(frozen=True)
class ToolCall:
    """`arguments`: JSON text, or what is written as JSON."""

    name: str
    arguments: Any = field(default_factory=dict)

    @property
    def text(self) -> str:
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments)


Answer = str | list[ToolCall]


class ModelApi:
    """An HTTP server on a thread. `check` raises Refused. `answer` turns a body and an answer into (type, body)."""

    def __init__(
        self,
        path: str,
        check: Callable[[Any, Any], None],
        texts: Callable[[Any], tuple[str, bool]],
        render: Callable[[Any, Answer, int], tuple[str, str]],
        render_error: Callable[[str], Any],
    ) -> None:
        self.requests: list[Any] = []
        self.refusals: list[str] = []
        self.script: list[Answer] = []
        self.path = path
        self._check = check
        self._texts = texts
        self._render = render
        self._render_error = render_error
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def respond(self, path: str, headers: Any, raw: bytes) -> tuple[int, str, str]:
        try:
            if path.partition("?")[0] != self.path:
                return 404, "application/json", json.dumps(self._render_error(f"no such path: {path}"))
            body = _strict_json(raw)
            self._check(headers, body)
        except Refused as refused:
            self.refusals.append(str(refused))
            return 400, "application/json", json.dumps(self._render_error(str(refused)))
        self.requests.append(body)
        return 200, *self._render(body, self._next_answer(body), len(self.requests))

    def _next_answer(self, body: Any) -> Answer:
        if self.script:
            return self.script.pop(0)
        text, has_results = self._texts(body)
        return "done" if has_results else calls_in(text) or "fine"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["content-length"]))
                status, kind, body = api.respond(self.path, self.headers, raw)
                data = body.encode()
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


def calls_in(text: str) -> list[ToolCall]:
    """Return the calls that the text of a user asks for."""
    decoder = json.JSONDecoder()
    return [ToolCall(match[1], decoder.raw_decode(text, match.end())[0]) for match in _CALL.finditer(text)]


def require(condition: object, message: str) -> None:
    if not condition:
        raise Refused(message)


def check_tool_name(name: Any, where: str) -> None:
    require(isinstance(name, str), f"{where}: expected a string")
    require(TOOL_NAME.fullmatch(name), f"{where}: does not match '^[a-zA-Z0-9_-]{{1,64}}$': {name!r}")


def check_unique(names: Iterable[str], where: str) -> None:
    every = list(names)
    require(len(set(every)) == len(every), f"{where}: names must be unique")


def check_arguments_schema(schema: Any, where: str) -> None:
    """Refuse the schema of a tool's arguments as OpenAI and Anthropic do."""
    require(isinstance(schema, dict), f"{where}: {schema!r} is not of type 'object'")
    require(schema.get("type") == "object", f"{where}: schema must be a JSON Schema of 'type: \"object\"'")
    require(isinstance(schema.get("properties"), dict), f"{where}: object schema missing properties")
    for keyword in ("oneOf", "anyOf", "allOf", "enum", "not"):
        require(keyword not in schema, f"{where}: {keyword} is not supported at the top level")
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise Refused(f"{where}: it must match JSON Schema draft 2020-12: {error.message[:200]}") from None
    _check_nested(schema, where)


def _check_nested(schema: Any, where: str) -> None:
    if isinstance(schema, list):
        for each in schema:
            _check_nested(each, where)
    if isinstance(schema, dict):
        require("$ref" not in schema or "$defs" in schema, f"{where}: a reference leads nowhere")
        kinds = schema.get("type")
        if kinds == "array" or (isinstance(kinds, list) and "array" in kinds):
            require("items" in schema, f"{where}: array schema missing items")
        for each in schema.values():
            _check_nested(each, where)


def _strict_json(raw: bytes) -> Any:
    def refuse(name: str) -> Any:
        raise Refused(f"We could not parse the JSON body of your request: {name}")

    try:
        return json.loads(raw.decode("utf-8"), parse_constant=refuse)
    except ValueError:
        raise Refused("We could not parse the JSON body of your request") from None
