"""Bounds what an MCP server may answer: the bytes of a body, and of each event of a stream.

Rules
- Bytes are counted while they arrive, before anything is parsed. Answers are not compressed, so what is counted is what
  is parsed.
- An answer that is too large is replaced by a JSON-RPC error for the same request, so the caller learns of it at once
  and with its reason. The SDK would only log an exception, and the caller would wait for its timeout.
- An event is passed on when it is complete.
- The values of an answer are counted, too: the SDK makes objects of them, and several errors for each that it does not
  expect.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, cast

import httpx

from tools_agent.json_size import has_more_values

from .call_context import trace_headers

ANSWER_TOO_LARGE = -32050
"""Code of the JSON-RPC error, in the range that the specification leaves to implementations."""
MAX_EVENT_LINES = 10_000
"""The SDK reads an event line by line."""

MAX_VALUES = 50_000
"""Elements and members of an answer, at any depth. A text is one."""

_EVENT_ENDS = (b"\n\n", b"\r\r", b"\r\n\r\n")
_LONGEST_END = 4
TOO_MANY_VALUES = f"its answer has more than {MAX_VALUES} values"


class AnswerTooLarge(httpx.ReadError):
    """Raised where there is no request to answer, as on the server's own event stream."""


class BoundedTransport(httpx.AsyncBaseTransport):
    def __init__(self, transport: httpx.AsyncBaseTransport, max_bytes: int) -> None:
        self._transport = transport
        self._max_bytes = max_bytes

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        message = _message(request)
        request.headers["accept-encoding"] = "identity"
        request.headers.update(trace_headers(message))
        response = await self._transport.handle_async_request(request)
        kind = _Events if _is_event_stream(response) else _Body
        request_id = message.get("id") if isinstance(message, dict) else None
        response.stream = kind(response, request_id, self._max_bytes)
        return response

    async def aclose(self) -> None:
        await self._transport.aclose()


class _Body(httpx.AsyncByteStream):
    """A body of at most `max_bytes`, else the error."""

    def __init__(self, response: httpx.Response, request_id: Any, max_bytes: int) -> None:
        self._source = cast("httpx.AsyncByteStream", response.stream)  # that of an asynchronous transport
        self._declared = _declared_bytes(response)
        self._refusal = _refusal(response)
        self._request_id = request_id
        self._max_bytes = max_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._refusal is not None or self._declared > self._max_bytes:
            yield self._error()
            return
        body = bytearray()
        async for chunk in self._source:
            body += chunk
            if len(body) > self._max_bytes:
                yield self._error()
                return
        whole = bytes(body)
        yield self._error(TOO_MANY_VALUES) if has_more_values(whole, MAX_VALUES) else whole

    async def aclose(self) -> None:
        await self._source.aclose()

    def _error(self, reason: str | None = None) -> bytes:
        """Raises AnswerTooLarge where there is no request to answer."""
        text = self._refusal or reason or f"its answer is larger than {self._max_bytes} bytes (AGENTHALL_MCP_MAX_BYTES)"
        if self._request_id is None:
            raise AnswerTooLarge(text)
        error = {"code": ANSWER_TOO_LARGE, "message": text}
        return json.dumps({"jsonrpc": "2.0", "id": self._request_id, "error": error}).encode()


class _Events(_Body):
    """An event stream. A stream may be endless; each of its events is bounded."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._refusal is not None:
            yield self._error()
            return
        pending, lines = bytearray(), 0
        async for chunk in self._source:
            searched = max(len(pending) - _LONGEST_END, 0)
            pending += chunk
            lines += chunk.count(b"\n")
            end = _last_end(pending, searched)
            if end:
                whole = bytes(pending[:end])
                if has_more_values(whole, MAX_VALUES):
                    yield self._error(TOO_MANY_VALUES)
                    return
                del pending[:end]
                lines = pending.count(b"\n")
                yield whole
            if len(pending) > self._max_bytes or lines > MAX_EVENT_LINES:
                yield self._error()
                return
        yield bytes(pending)

    def _error(self, reason: str | None = None) -> bytes:
        return b"event: message\ndata: " + super()._error(reason) + b"\n\n"


def _last_end(text: bytearray, start: int) -> int:
    """The position behind the last event that is complete; 0 without one."""
    return max((at + len(end) for end in _EVENT_ENDS if (at := text.rfind(end, start)) >= 0), default=0)


def _is_event_stream(response: httpx.Response) -> bool:
    return str(response.headers.get("content-type", "")).lower().startswith("text/event-stream")


def _declared_bytes(response: httpx.Response) -> int:
    text = response.headers.get("content-length", "")
    return int(text) if text.isdecimal() else 0


def _refusal(response: httpx.Response) -> str | None:
    """Why an answer is not read at all. A compressed one may be a thousand times larger than its bytes."""
    encoding = response.headers.pop("content-encoding", "identity")
    return (
        None
        if encoding.lower() in {"", "identity"}
        else f"its answer is compressed ({encoding}), which was not asked for"
    )


def _message(request: httpx.Request) -> Any:
    """The JSON-RPC message; None for a request without a body. A notification has no id."""
    try:
        return json.loads(request.content)
    except (httpx.RequestNotRead, ValueError):
        return None
