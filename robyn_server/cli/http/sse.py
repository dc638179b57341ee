"""Server-Sent Events. WHATWG HTML, section 9.2.6."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import orjson

COMMENT = "(comment)"
"""The event of a comment, which the server sends while it has nothing to say. No event of a stream has this name."""


class ServerSentEvent(NamedTuple):
    """`data` is parsed JSON. `event_id` is the event's id, if it has one."""

    event: str
    data: Any
    event_id: str | None


def split_lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Yield the lines of a stream, which end with LF or CRLF.

    `httpx.Response.iter_lines` also ends lines at U+2028, U+0085 and others, which are plain text within an event.
    """
    rest = bytearray()
    for chunk in chunks:
        scanned = len(rest)
        rest += chunk
        while (end := rest.find(b"\n", scanned)) >= 0:
            yield rest[:end].removesuffix(b"\r").decode("utf-8", "replace")
            del rest[: end + 1]
            scanned = 0


def sse_events(lines: Iterable[str], *, comments: bool = False) -> Iterator[ServerSentEvent]:
    """Yield the events of a stream, and its `comments` on request."""
    event, event_id, data = "message", None, list[str]()
    for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line and data:
            yield ServerSentEvent(event, orjson.loads("\n".join(data)), event_id)
        if not line:
            event, event_id, data = "message", None, []
        elif not name and comments:
            yield ServerSentEvent(COMMENT, None, None)
        elif name == "event":
            event = value
        elif name == "id":
            event_id = value
        elif name == "data":
            data.append(value)
