"""Answers of the proxy itself: problems of RFC 9457, as the server's are.

Caddy answers some requests before it knows a route, such as one that is not HTTP: those are plain text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]

REQUEST_ID: Json = {
    "handler": "map",
    "source": "{http.request.header.X-Request-Id}",
    "destinations": ["{agenthall_id}"],
    "mappings": [{"input_regexp": "^([A-Za-z0-9._:/+=-]{1,128})$", "outputs": ["${1}"]}],
    "defaults": ["{http.request.uuid}"],
}
"""Keeps the caller's request id if it is valid by the server's rule; otherwise makes one."""

_CODES = {400: "bad_request", 408: "bad_request", 413: "too_large", 421: "bad_request"}
"""The server's codes. Other statuses are `unavailable`."""

_BROKEN = "^(malformed (chunked|MIME)|.*chunk length|header line too long|unexpected EOF|chunked |http: .* trailer)"
"""Words of Go's reader about a body that is no HTTP, or that broke off. Errors of the other side begin otherwise."""

_SLOW = r"^read tcp .*i/o timeout"
"""Its words about a body that did not arrive in time. Nothing else here reads with a deadline."""


def problem_route(match: Sequence[Json], status: int, title: str, detail: str) -> Json:
    return {"match": [*match], "handle": [_problem(status, title, detail)], "terminal": True}


OTHER_NAME = (421, "Misdirected Request", "This server has another name.")
TOO_LARGE = "The request body is larger than AGENTHALL_MAX_BODY_BYTES."


def error_routes() -> list[Json]:
    """Answers to what went wrong while a request was passed on, the first that fits."""
    return [
        problem_route(_says(_BROKEN), 400, "Bad Request", "The request is malformed."),
        problem_route(_says(_SLOW), 408, "Request Timeout", "The request body did not arrive in time."),
        problem_route(_is(413), 413, "Content Too Large", TOO_LARGE),
        problem_route(_is(504), 504, "Gateway Timeout", "The server did not answer in time."),
        problem_route(_is(421), *OTHER_NAME),
        {"match": _is(502, 503), "handle": [_problem(502, "Bad Gateway", _AWAY, _AGAIN)], "terminal": True},
    ]


_AWAY = "The server is away or starting; try again."
_AGAIN = {"Retry-After": ["1"]}


def _says(pattern: str) -> list[Json]:
    return [{"vars_regexp": {"{http.error.message}": {"pattern": pattern}}}]


def _is(*statuses: int) -> list[Json]:
    return [{"vars": {"{http.error.status_code}": [str(status) for status in statuses]}}]


def _problem(status: int, title: str, detail: str, headers: Mapping[str, list[str]] | None = None) -> Json:
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    body |= {"code": _CODES.get(status, "unavailable"), "request_id": "{agenthall_id}"}
    return {
        "handler": "static_response",
        "status_code": status,
        "headers": {
            "Content-Type": ["application/problem+json"],
            "X-Request-Id": ["{agenthall_id}"],
            "Access-Control-Allow-Origin": ["*"],
            **(headers or {}),
        },
        "body": json.dumps(body),
    }
