"""Replace the answers that the MCP SDK cannot read by JSON-RPC errors, so that a caller hears of them at once.

The SDK drops an answer that is no JSON-RPC, and the caller waits for its whole timeout. Examples are a login page, half
a document, a result that is no object, and a stream that ends without an answer. This transport checks each answer to a
request before the SDK reads it.

A status of 500 or more ends the session of the SDK with the calls of all users. For the call of a tool it becomes an
error of that call.

An answer that is JSON, but not as the SDK's parser takes it (half a surrogate pair, deep nesting), is repaired.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
from mcp.types import JSONRPCError, JSONRPCMessage, JSONRPCResponse
from pydantic import ValidationError

from tools_agent.notices import one_line
from tools_agent.plain_values import plain

from .mcp_failures import UNREADABLE_ANSWER

JSON = "application/json"
EVENTS = "text/event-stream"
MAX_DIGITS = 4000
"""Python reads integers of at most 4300 digits. A longer one becomes text."""

_LINE_END = re.compile(rb"\r\n|\n|\r")
_NO_ANSWER = "its answer ended without a result"


class ReadableAnswers(httpx.AsyncBaseTransport):
    """Passes requests on to `inner`."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        asked, method = _request(request)
        if asked is not None and method == "tools/call" and response.is_server_error:
            await response.aclose()
            why = one_line(f"it answered {response.status_code} {response.reason_phrase}")
            return _replaced(response, JSON, content=unreadable(asked, why))
        if asked is None or not response.is_success:
            return response
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == EVENTS and response.status_code == httpx.codes.OK:
            return _replaced(response, EVENTS, stream=_CheckedEvents(response, asked))
        body = await _read(response)
        if kind != JSON or not body:
            shown = "nothing" if not body else f"a document of type {kind}" if kind else "a document without a type"
            answer = unreadable(asked, one_line(f"it answered with {shown} instead of JSON-RPC"))
        else:
            answer = readable(body, asked)
        return _replaced(response, JSON, content=answer)

    async def aclose(self) -> None:
        await self._inner.aclose()


def readable(body: bytes, asked: Any) -> bytes:
    """Return the answer to the request with the id `asked` as the SDK reads it, or an error in its place."""
    message = _message(body)
    if isinstance(message, str):
        repaired = _repaired(body, asked)
        return unreadable(asked, message) if repaired is None else repaired
    if not isinstance(message, JSONRPCResponse | JSONRPCError):
        return unreadable(asked, "it answered with a request of its own instead of a result")
    if str(message.id) != str(asked):
        return unreadable(asked, "it answered another request")
    return body


def unreadable(asked: Any, why: str) -> bytes:
    error = {"code": UNREADABLE_ANSWER, "message": why}
    return json.dumps({"jsonrpc": "2.0", "id": asked, "error": error}).encode()


def _request(request: httpx.Request) -> tuple[Any, Any]:
    """Return id and method of a JSON-RPC request; the id is None for a notification, a response or another request."""
    if request.method != "POST":
        return None, None
    try:
        sent = json.loads(request.content)
    except (ValueError, httpx.RequestNotRead):
        return None, None
    return (sent.get("id"), sent["method"]) if isinstance(sent, dict) and "method" in sent else (None, None)


async def _read(response: httpx.Response) -> bytes:
    try:
        return await response.aread()
    finally:
        await response.aclose()


def _replaced(response: httpx.Response, kind: str, **body: Any) -> httpx.Response:
    dropped = {"content-type", "content-length", "content-encoding", "transfer-encoding"}
    headers = [(name, value) for name, value in response.headers.multi_items() if name not in dropped]
    return httpx.Response(
        httpx.codes.OK, headers=[*headers, ("content-type", kind)], extensions=response.extensions, **body
    )


def _message(text: bytes) -> Any:
    """Return the JSON-RPC message of a text, or the reason why it is none."""
    try:
        return JSONRPCMessage.model_validate_json(text).root
    except ValidationError as error:
        kind = error.errors(include_url=False, include_input=False, include_context=False)[0]["type"]
        return "its answer is not JSON" if kind == "json_invalid" else "its answer is not JSON-RPC"


def _repaired(text: bytes, asked: Any) -> bytes | None:
    """Return an answer that is JSON and nearly JSON-RPC as one that the SDK reads. None if that is not possible."""
    try:
        given = json.loads(text.decode("utf-8", "replace"), parse_int=_integer, strict=False)
    except (ValueError, RecursionError):
        return None
    if not isinstance(given, dict):
        return None
    if given.get("id") is None and isinstance(given.get("error"), dict):
        given["id"] = asked  # JSON-RPC: the id of an error is null if the request could not be read
    body = json.dumps(plain(given)).encode()
    message = _message(body)
    if isinstance(message, JSONRPCResponse | JSONRPCError) and str(message.id) == str(asked):
        return body
    return None


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= MAX_DIGITS else digits


class _CheckedEvents(httpx.AsyncByteStream):
    """The events of an answer, of which each is readable and one is the answer to the request `asked`."""

    def __init__(self, response: httpx.Response, asked: Any) -> None:
        self._response = response
        self._asked = asked
        self._is_answered = False
        self._is_resumable = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        event: list[bytes] = []
        try:
            async for line in self._lines():
                event.append(line)
                if not line:
                    yield self._checked(event)
                    event = []
        except httpx.TransportError:
            if self._is_answered or self._is_resumable:
                raise
            yield _event(unreadable(self._asked, "the connection ended in the middle of its answer"))
            return
        if not self._is_answered and not self._is_resumable:  # else the SDK asks for the rest
            yield _event(unreadable(self._asked, _NO_ANSWER))

    async def aclose(self) -> None:
        await self._response.aclose()

    async def _lines(self) -> AsyncIterator[bytes]:
        buffer, searched = bytearray(), 0
        async for chunk in self._response.aiter_bytes():
            buffer += chunk
            start = 0
            while (end := _LINE_END.search(buffer, max(start, searched))) is not None:
                if end[0] == b"\r" and end.end() == len(buffer):
                    break  # perhaps half of \r\n
                yield bytes(buffer[start : end.start()])
                start = searched = end.end()
            del buffer[:start]
            searched = max(0, len(buffer) - 1)
        if buffer:
            yield bytes(buffer).rstrip(b"\r")

    def _checked(self, event: list[bytes]) -> bytes:
        fields = [line.partition(b":")[::2] for line in event]
        data = b"\n".join(value.removeprefix(b" ") for name, value in fields if name == b"data")
        kinds = [value.strip() for name, value in fields if name == b"event"]
        self._is_resumable = self._is_resumable or any(name == b"id" and value.strip() for name, value in fields)
        if not data or (kinds and kinds[-1] != b"message"):
            return b"\n".join(event) + b"\n"
        message = _message(data)
        if isinstance(message, str):
            answer = _repaired(data, self._asked) or unreadable(self._asked, message)
        elif isinstance(message, JSONRPCResponse | JSONRPCError):
            answer = readable(data, self._asked)
        else:
            return b"\n".join(event) + b"\n"
        self._is_answered = True
        ids = [line for line in event if line.startswith(b"id")]
        return b"\n".join([*ids, _event(answer)])


def _event(message: bytes) -> bytes:
    lines = b"".join(b"data: %s\n" % line for line in message.split(b"\n"))
    return b"event: message\n" + lines + b"\n"
