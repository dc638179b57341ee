"""From errors to HTTP: the one table, and bodies after RFC 9457.

`detail` is always a string, because that is what the LangGraph SDK shows; it reads the body as JSON whatever its type.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson

from robyn_server.core import errors

from .http import Headers, Response

PROBLEM_JSON = "application/problem+json"
RETRY_AFTER_SECONDS = "1"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Headers = ()


TABLE: dict[type[errors.AgenthallError], Answer] = {
    errors.BadRequest: Answer(400),
    errors.Unauthenticated: Answer(401, (("www-authenticate", "Bearer"),)),
    errors.Forbidden: Answer(403),
    errors.NotFound: Answer(404),
    errors.Conflict: Answer(409),
    errors.Gone: Answer(410),
    errors.Unservable: Answer(409),
    errors.TooLarge: Answer(413),
    errors.Invalid: Answer(422),
    errors.TooMany: Answer(429, (("retry-after", RETRY_AFTER_SECONDS),)),
    errors.NotOffered: Answer(501),
    errors.Unavailable: Answer(503, (("retry-after", RETRY_AFTER_SECONDS),)),
    errors.Misconfigured: Answer(500),
}
_UNLISTED = Answer(500)


def answer_to(error: errors.AgenthallError) -> Answer:
    """The entry of the error's nearest ancestor that has one."""
    for kind in type(error).__mro__:
        if kind in TABLE:
            return TABLE[kind]
    return _UNLISTED


def problem(error: errors.AgenthallError, request_id: str) -> Response:
    answer = answer_to(error)
    return _response(answer.status, error.detail, error.code, request_id, answer.headers, error.field)


def method_not_allowed(allowed: list[str], request_id: str) -> Response:
    headers = (("allow", ", ".join(allowed)),)
    return _response(405, "Method Not Allowed", "method_not_allowed", request_id, headers)


def stranger(request_id: str) -> Response:
    """For an error that nobody foresaw: its trace is in the log under the request id, the caller is told nothing."""
    return _response(500, "Internal Server Error", "internal", request_id, ())


def _response(
    status: int, detail: str, code: str, request_id: str, headers: Headers, field: str | None = None
) -> Response:
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
    }
    if field is not None:
        body["field"] = field
    return Response(status, orjson.dumps(body), headers, PROBLEM_JSON)
