"""Requests and responses: what a handler is given and what it returns."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol
from urllib.parse import unquote_plus

from robyn_server.core.access.principal import Principal
from robyn_server.core.errors import BadRequest, Invalid
from robyn_server.core.json import exact_json
from robyn_server.core.json.duplicate_keys import find_duplicate_key

JSON = "application/json"
EVENT_STREAM = "text/event-stream; charset=utf-8"

Headers = tuple[tuple[str, str], ...]
"""Header lines in the order they are sent; names may repeat."""

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})


_INTEGER = re.compile(r"-?[0-9]{1,4000}")
"""As in JSON. int() also takes `1_0`, `+5` and the digits of other scripts, and refuses more than 4,300 digits."""


class Query:
    """Decoded query parameters. The values of one name keep their order; names have none."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, list[str]]) -> None:
        self._values = values

    @classmethod
    def from_raw(cls, pairs: Iterable[tuple[str, str]]) -> Query:
        """Decode raw pairs. Raises BadRequest for an escape that is not UTF-8."""
        values: dict[str, list[str]] = {}
        for name, value in pairs:
            values.setdefault(_decoded(name), []).append(_decoded(value))
        return cls(values)

    @property
    def names(self) -> Collection[str]:
        return self._values.keys()

    def get(self, name: str, default: str | None = None) -> str | None:
        """The last value of `name`."""
        values = self._values.get(name)
        return values[-1] if values else default

    def get_all(self, name: str) -> list[str]:
        return list(self._values.get(name, ()))

    def replaced(self, **values: list[str]) -> Query:
        """The query with other values of these names."""
        return Query({**self._values, **values})

    def integer(
        self, name: str, default: int | None = None, minimum: int | None = None, maximum: int | None = None
    ) -> int | None:
        """Raises BadRequest for a value that is not an integer, Invalid for one out of range; both name the
        parameter."""
        text = self.get(name)
        if text is None or not text:
            return default
        if not _INTEGER.fullmatch(text):
            raise BadRequest(f"{name}: {text[:64]!r} is not an integer", field=name)
        return _in_range(name, int(text), minimum, maximum)

    def boolean(self, name: str, default: bool = False) -> bool:
        """Raises BadRequest for anything but 1/0, true/false, yes/no and on/off."""
        text = self.get(name)
        if text is None:
            return default
        lowered = text.lower()
        if lowered not in _TRUE and lowered not in _FALSE:
            raise BadRequest(f"{name}: {text!r} is not a boolean", field=name)
        return lowered in _TRUE


EMPTY_QUERY = Query({})


def _decoded(text: str) -> str:
    if "%" not in text and "+" not in text:
        return text
    try:
        return unquote_plus(text, errors="strict")
    except UnicodeDecodeError:
        raise BadRequest(f"The query is not UTF-8: {text}") from None


def _in_range(name: str, value: int, minimum: int | None, maximum: int | None) -> int:
    if minimum is not None and value < minimum:
        raise Invalid(f"{name}: Input should be greater than or equal to {minimum}", field=name)
    if maximum is not None and value > maximum:
        raise Invalid(f"{name}: Input should be less than or equal to {maximum}", field=name)
    return value


def parse_json(body: bytes) -> Any:
    """`body` as JSON (RFC 8259): the order of keys is kept, integers are exact.

    Raises Invalid, with the wording of LangGraph's server, when it is missing or malformed, and for a key that an
    object has twice.
    """
    try:
        value = exact_json.loads(body)
    except exact_json.IntegerTooLong as error:
        raise Invalid(str(error), code="integer_too_long", field=error.field) from None
    except ValueError:
        raise Invalid("Invalid JSON in request body", code="invalid_json") from None
    key = find_duplicate_key(body, value)
    if key is not None:
        raise Invalid(f"{key}: An object has this key twice", code="duplicate_key", field=key)
    return value


@dataclass(frozen=True, slots=True)
class Request:
    """`path_params` and `query` are percent-decoded, the names in `headers` are lower case."""

    method: str
    path: str
    path_params: Mapping[str, str]
    query: Query
    headers: Mapping[str, str]
    body: bytes
    principal: Principal
    request_id: str
    metadata: Mapping[str, Any] | None = None
    """Metadata that a handler of the project adds to what a request without a body creates."""

    @property
    def query_params(self) -> Mapping[str, str]:
        """The last value of each parameter of the query."""
        return {name: self.query.get(name) or "" for name in self.query.names}

    def json(self) -> Any:
        return parse_json(self.body)


@dataclass(frozen=True, slots=True)
class Response:
    status: int = 200
    body: bytes = b""
    headers: Headers = ()
    media_type: str = JSON
    """Empty: no content-type is sent."""


class End(StrEnum):
    """Why a stream ended before its producer did."""

    CLIENT_GONE = "client_gone"
    SLOW_READER = "slow_reader"
    DRAINING = "draining"
    REFUSED = "refused"


class Sink(Protocol):
    """Where a producer writes. Lives on the event loop's thread."""

    @property
    def end(self) -> End | None:
        """Why the producer is cancelled; None while it is not.

        DRAINING is not a disconnect: the client reconnects to another process. Work that stops when its client
        disconnects must check this first. REFUSED: the client may no longer read the stream.
        """

    @property
    def closed(self) -> bool:
        """Whether `end` is set."""

    async def put(self, data: bytes) -> None:
        """Queue `data`, a whole frame. Waits for a slow reader; the producer is cancelled when that takes too long."""


Permits = Callable[[Principal], Awaitable[object]]
"""Raises NotFound or Forbidden, as a request would, when the principal may not read the stream's subject."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A body that is produced in parts.

    `produce` runs as a task on the event loop and is cancelled when the client disconnects; its `finally` may await.
    `heartbeat` is sent when nothing else was sent for a while: only writing reveals a disconnect.
    """

    produce: Callable[[Sink], Awaitable[None]]
    media_type: str = EVENT_STREAM
    headers: Headers = ()
    heartbeat: bytes = b": heartbeat\r\n\r\n"
    resumable: bool = False
    """True: the client can resume it on another server, so it ends at once when the server drains.
    False: it may finish within the grace period."""
    status: int = 200
    permits: Permits | None = None
    """Called while the stream is open, when its principal's organizations or permissions have changed."""
    endless: bool = False
    """True: it has no end of its own, like a watch, and ends when its token expires."""
    whole_within: float = 0.0
    """Seconds to wait for the whole body before it is sent as a stream. A whole body occupies no thread, and an error
    still decides the status. A disconnect in this time is noticed after it."""


def json_response(value: Any, status: int = 200, headers: Headers = ()) -> Response:
    """`value` as JSON. bytes and str are JSON text already and are sent unchanged."""
    if isinstance(value, bytes):
        return Response(status, value, headers)
    if isinstance(value, str):
        return Response(status, value.encode(), headers)
    return Response(status, exact_json.dumps(value), headers)


def empty(status: int = 204, headers: Headers = ()) -> Response:
    return Response(status, b"", headers, media_type="")
