"""Spans of HTTP requests, by the semantic conventions of HTTP servers.

https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-server-span

A span ends with its response: that of a stream when the last frame was produced. The query and all headers but the
named ones are left out, since they may hold credentials.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from opentelemetry import context as contexts
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context

from .propagation import context_of, current_ids

Produce: TypeAlias = Callable[[Any], Awaitable[None]]
"""Writes a stream to a sink, whose `end` says why it was stopped."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"})
_SERVER_ERROR = 500
_CURRENT = contexts.create_key("agenthall-http-span")


class HttpSpan:
    """The span of one request. It is current in the task that begins it, until `answer`."""

    def __init__(self, span: Span, parent: contexts.Context, method: str) -> None:
        self._span = span
        self._method = method
        self._produces = False
        self._is_answered = False
        current = contexts.set_value(_CURRENT, self, set_span_in_context(span, parent))
        self._token = contexts.attach(current)
        self.ids = current_ids()

    def answer(self, route: str | None, status: int) -> None:
        """`route`: its template; None where none was found."""
        span = self._span
        if route is not None:
            span.update_name(f"{self._method} {route}")
            span.set_attribute("http.route", route)
        span.set_attribute("http.response.status_code", status)
        if status >= _SERVER_ERROR:
            span.set_attribute("error.type", str(status))
            span.set_status(Status(StatusCode.ERROR))
        contexts.detach(self._token)
        self._is_answered = True
        self._end_if_over()

    def follow(self, produce: Produce) -> Produce:
        """`produce`, which ends the span when it returns."""
        self._produces = True

        async def produce_and_end(sink: Any) -> None:
            try:
                await produce(sink)
            finally:
                if sink.end is not None:
                    self._span.set_attribute("agenthall.stream.end", str(sink.end))
                self._produces = False
                self._end_if_over()

        return produce_and_end

    def _end_if_over(self) -> None:
        """A short body is produced before its status is known, a long one after."""
        if self._is_answered and not self._produces:
            self._span.end()


class HttpSpans:
    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def begin(self, method: str, path: str, headers: Mapping[str, str], request_id: str) -> HttpSpan:
        """Begin the span of a request, as a child of the caller's, if it names one."""
        known = method if method in _METHODS else "_OTHER"
        parent = context_of(headers)
        span = self._tracer.start_span(
            "HTTP" if known == "_OTHER" else known,
            parent,
            SpanKind.SERVER,
            _attributes(known, method, path, headers) | {"agenthall.request.id": request_id},
        )
        return HttpSpan(span, parent, known)

    @staticmethod
    def follow(produce: Produce) -> Produce:
        """The producer of a stream, with whose end the span of the current request ends."""
        current = contexts.get_value(_CURRENT)
        return current.follow(produce) if isinstance(current, HttpSpan) else produce


def _attributes(known: str, method: str, path: str, headers: Mapping[str, str]) -> dict[str, Any]:
    host, port = _address(headers.get("host", ""))
    given = {
        "http.request.method": known,
        "http.request.method_original": method if known == "_OTHER" else None,
        "url.path": path,
        "url.scheme": headers.get("x-forwarded-proto", "http").partition(",")[0].strip(),
        "server.address": host,
        "server.port": port,
        "user_agent.original": headers.get("user-agent"),
    }
    return {name: value for name, value in given.items() if value is not None}


def _address(host: str) -> tuple[str | None, int | None]:
    """The host and the port of a Host header; None for each that it lacks."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(f"//{host}")
        return parts.hostname, parts.port
    return None, None
