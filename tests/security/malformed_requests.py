"""Requests that no honest client sends, made from plausible ones. The same seed makes the same requests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import quote
from uuid import UUID

from robyn_server.web.http.routing import Route

NOBODY = str(UUID(int=1))
NUL, SURROGATE = "\0", "\ud800"
MAX_QUERY_LENGTH = 30_000
"""Characters. httpx sends addresses of at most 65,536, and the path may have as many again."""


@dataclass(frozen=True, slots=True)
class MalformedRequest:
    """`path` is encoded. `what` names what was done to a plausible request."""

    method: str
    path: str
    body: bytes | None
    headers: Mapping[str, bytes] = field(default_factory=dict)
    what: tuple[str, ...] = ()


def _deep(levels: int, leaf: Any = 1) -> Any:
    for level in range(levels):
        leaf = [leaf] if level % 2 else {"a": leaf}
    return leaf


VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 1.5, -0.0, 1e308, 2**31, 2**63, -(2**63) - 1, 2**64, 10**40, 10**400, 5e-324),
    *("", " ", "*", ".", "..", "/", "%", "%s", "%00", "$1", ":a", "{own}", "{{", "'; drop table x; --", '"', "\\"),
    *(NUL, f"a{NUL}", SURROGATE, "\u202e", "\U0010ffff", "é" * 600, "x" * 2_000, "x" * 70_000, "(a+)+$", "%" * 500),
    *("$.a[*]", "$..*", "values.", "values.a.b", "a" + ".b" * 300, "a[0]" * 100, "[" * 200, "*" * 300, "1" * 400),
    *("-1", "NaN", "Infinity", "null", "true", "__proto__", "constructor", NOBODY, NOBODY.upper(), f"{{{NOBODY}}}"),
    *("0001-01-01", "9999-12-31T23:59:59Z", "../../etc/passwd", "http://169.254.169.254/", "file:///etc/passwd"),
    *([], [[]], [None], {}, {"": ""}, {"a": None}, {"$gt": 1}, {"$or": [{}]}, {"$eq": NUL}, {"$regex": "(a+)+$"}),
    *(_deep(50), _deep(99), _deep(101), _deep(300), ["x"] * 1_001, list(range(3_000)), ["a" * 100] * 200),
    *({str(n): n for n in range(2_000)}, {NUL: 1}, {f"a{NUL}": 1}, {SURROGATE: 1}, {"a" * 5_000: 1}),
)
"""Values in the place of a member, or somewhere within one."""

RAW: tuple[Callable[[bytes, Random], bytes], ...] = (
    lambda body, chance: body[: chance.randrange(len(body) + 1)],
    lambda body, chance: body + chance.choice([b"x", b"{}", b"\0", b"\n\n", b",", b"]"]),
    lambda body, _: b"\xef\xbb\xbf" + body,
    lambda body, _: body.decode("utf-8", "replace").encode("utf-16"),
    lambda body, chance: body.replace(b'"', chance.choice([b"'", b"", b'\\"', b'"\\ud800']), 1),
    lambda body, chance: body.replace(b":", chance.choice([b"", b"::", b",", b": NaN, :", b": 1e999,"]), 1),
    lambda body, chance: _flipped(body, chance),  # noqa: PLW0108  it is defined below
    lambda body, _: body[:-1] + b',"a":1,"a":2}' if body.endswith(b'"}') else b'{"a":1,"a":2}',
    lambda body, _: b"[" + body + b"]",
    lambda _body, _: b"[" * 100_000,
    lambda _body, _: b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    lambda _body, _: b'{"a":"' + b"\\u0000" * 10_000 + b'"}',
    lambda _body, _: b'{"a":' + b"9" * 5_000 + b"}",
    lambda _body, _: b"",
)
"""Changes of the bytes of a body."""

HEADERS: Mapping[str, tuple[bytes, ...]] = {
    "content-type": (b"", b"text/plain", b"application/json; charset=utf-16", b"application/xml", b"a/b" * 500),
    "content-encoding": (b"gzip", b"deflate, gzip", b"br", b"x", b"identity", b""),
    "accept": (b"", b"x", b"text/html", b"*/*;q=x", b"a/" + b"b" * 4_000),
    "last-event-id": (b"-1", b"x", b"1-0", b"9" * 40, b"\xff", b"1-99999999999999999999", b"a:1-2", b"0"),
    "prefer": (b"return=minimal", b"x" * 3_000, b"\xe9"),
    "x-organization-id": (b"", b"x", b"\xff", NOBODY.encode(), b"null", b"1" * 500),
    "x-request-id": (b"", b"a b", b"\xff", b"x" * 500, b"%0d%0a"),
    "idempotency-key": (b"", b"\xff", b"k" * 3_000),
    "traceparent": (b"", b"00-x", b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01", b"\xff", b"ff-" + b"1" * 5_000),
    "baggage": (b"a", b"a=%", b"=" * 3_000, b"\xff", b"langsmith-metadata=%7B"),
    "langsmith-trace": (b"", b"x", b"20250101T000000000000Z" + NOBODY.encode(), b"." * 3_000),
    "origin": (b"", b"null", b"http://[", b"\xff", b"javascript:1"),
    "range": (b"bytes=0-", b"x"),
    "accept-encoding": (b"gzip;q=x", b"*", b""),
    "cookie": (b"=", b"a=\xff", b"x" * 6_000),
}


def malformed_requests(
    routes: Sequence[Route], ids: Mapping[str, str], plausible: Mapping[str, Any], seed: int
) -> Iterator[MalformedRequest]:
    """Requests without end. `ids`: parameters of paths that exist. `plausible`: a good value of each member."""
    chance = Random(seed)
    while True:
        yield _Malformed(chance.choice(routes), ids, plausible, chance).make()


class _Malformed:
    """One request, with some changes."""

    def __init__(self, route: Route, ids: Mapping[str, str], plausible: Mapping[str, Any], chance: Random) -> None:
        self._route = route
        self._chance = chance
        self._ids = {name: ids.get(name, NOBODY) for name in route.parameters}
        self._members = self._plausible_body(plausible)
        self._query: list[tuple[str, str]] = []
        self._headers: dict[str, bytes] = {}
        self._raw: list[Callable[[bytes, Random], bytes]] = []
        self._what: list[str] = []

    def _plausible_body(self, plausible: Mapping[str, Any]) -> dict[str, Any]:
        if self._route.body is None:
            return {}
        fields = self._route.body.model_fields
        needed = {name for name, each in fields.items() if each.is_required()}
        given = needed | {name for name in fields if name in plausible and self._chance.random() < 0.3}
        return {name: plausible.get(name, "x") for name in sorted(given)}

    def make(self) -> MalformedRequest:
        changes = [self._change_path, self._change_query, self._change_headers]
        if self._route.body is not None:
            changes += [*[self._change_member] * 4, self._add_member, self._change_bytes, self._change_bytes]
        for _ in range(self._chance.choice([1, 1, 1, 2, 3])):
            self._chance.choice(changes)()
        path = self._route.path.format_map({name: _segment(value) for name, value in self._ids.items()})
        query = self._encoded_query()
        body = None if self._route.body is None else self._body()
        return MalformedRequest(
            self._route.method, f"{path}?{query}" if query else path, body, self._headers, tuple(self._what)
        )

    def _encoded_query(self) -> str:
        """As many parameters as there is room for."""
        query = ""
        for name, value in self._query:
            longer = f"{query}&{_segment(name)}={_segment(value)}".removeprefix("&")
            query = longer if len(longer) <= MAX_QUERY_LENGTH else query
        return query

    def _body(self) -> bytes:
        body = _json(self._members)
        for change in self._raw:
            body = change(body, self._chance)
        return body

    def _change_path(self) -> None:
        if not self._ids:
            return self._change_query()
        name = self._chance.choice(sorted(self._ids))
        self._ids[name] = str(self._chance.choice(VALUES))[:3_000]
        self._what.append(f"path {name}")
        return None

    def _change_query(self) -> None:
        known = [each.name for each in self._route.query or ()]
        often = ["limit", "offset", "select", "subgraphs", "include", "stream_mode", "status", "namespace", "key"]
        name = self._chance.choice([*known, *known, *often, str(self._chance.choice(VALUES))[:300]])
        for _ in range(self._chance.choice([1, 1, 2, 40])):
            self._query.append((name, str(self._chance.choice(VALUES))[:2_000]))
        self._what.append(f"query {name[:40]!r}")

    def _change_headers(self) -> None:
        name = self._chance.choice(sorted(HEADERS))
        self._headers[name] = self._chance.choice(HEADERS[name])
        self._what.append(f"header {name}")

    def _change_member(self) -> None:
        assert self._route.body is not None
        name = self._chance.choice(sorted(self._route.body.model_fields))
        value = self._chance.choice(VALUES)
        wraps = [lambda one: one, lambda one: [one], lambda one: {"a": one}, lambda one: {"configurable": one}]
        self._members[name] = self._chance.choice([*wraps, wraps[0]])(value)
        self._what.append(f"{name} = {str(value)[:40]!r}")

    def _add_member(self) -> None:
        name = str(self._chance.choice(VALUES))[:6_000]
        self._members[name] = self._chance.choice(VALUES)
        self._what.append(f"member {name[:40]!r}")

    def _change_bytes(self) -> None:
        number = self._chance.randrange(len(RAW))
        self._raw.append(RAW[number])
        self._what.append(f"bytes {number}")


def _json(value: Any) -> bytes:
    """As UTF-8, with surrogates as no encoder would write them, or escaped."""
    return json.dumps(value, ensure_ascii=True).encode()


def _segment(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass")


def _flipped(body: bytes, chance: Random) -> bytes:
    if not body:
        return body
    at = chance.randrange(len(body))
    return body[:at] + bytes([body[at] ^ 1 << chance.randrange(8)]) + body[at + 1 :]
