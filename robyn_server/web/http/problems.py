"""Error responses with problem bodies (RFC 9457). `core/http_status.py` maps errors to statuses.

`detail` is always a string, because the LangGraph SDK shows it. The SDK parses the body as JSON whatever its media
type.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import orjson

from robyn_server.core.errors import AgenthallError, NotOffered, RateLimited, Refused
from robyn_server.core.http_status import headers_of, status_of

from .messages import Headers, Response

_KNOWN = frozenset(each.value for each in HTTPStatus)
PROBLEM_JSON = "application/problem+json"


def problem(error: AgenthallError, request_id: str, headers: Headers = ()) -> Response:
    status = status_of(error)
    own = _own_headers(error)
    named = {name.lower() for name, _ in own}
    usual = tuple(line for line in headers_of(status) if line[0] not in named)
    return _response(status, error.detail, error.code, request_id, (*usual, *own, *headers), error.field)


def _own_headers(error: AgenthallError) -> Headers:
    if isinstance(error, RateLimited):
        return (("retry-after", str(error.retry_after)),)
    return error.headers if isinstance(error, Refused) else ()


def not_offered(error: NotOffered, allowed: list[str], request_id: str) -> Response:
    """For an operation that is not built.

    `allowed` are the methods that are, for the header that a 405 has (RFC 9110, 15.5.6).
    """
    return problem(error, request_id, _allow(allowed))


def method_not_allowed(allowed: list[str], request_id: str) -> Response:
    return _response(405, "Method Not Allowed", "method_not_allowed", request_id, _allow(allowed))


def internal_error(request_id: str) -> Response:
    """For an unexpected error: its traceback is in the log under the request id, and the client is told nothing about
    it."""
    return _response(500, "Internal Server Error", "internal", request_id, ())


def _allow(methods: list[str]) -> Headers:
    return (("allow", ", ".join(methods)),)


def _response(
    status: int, detail: str, code: str, request_id: str, headers: Headers, field: str | None = None
) -> Response:
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase if status in _KNOWN else "Error",
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
    }
    if field is not None:
        body["field"] = field
    return Response(status, orjson.dumps(body), headers, PROBLEM_JSON)
