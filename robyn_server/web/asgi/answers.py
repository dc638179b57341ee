"""The answer of an app: its status and headers, checked and in the server's form."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from robyn_server.web.http.messages import Headers

from .protocol import Message

_OF_THE_SERVER = frozenset(
    {"connection", "content-length", "date", "keep-alive", "transfer-encoding", "upgrade", "x-request-id"}
)
"""Headers that are not passed on: of the connection (RFC 9110, 7.6.1), and those that the server sets itself."""
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[^\0\r\n]*")
_LOWEST, _HIGHEST = 200, 599
_EVENTS = "text/event-stream"


@dataclass(frozen=True, slots=True)
class AnswerHead:
    """`length`: the content-length that the app declared."""

    status: int
    headers: Headers
    media_type: str
    length: int | None

    @property
    def is_event_stream(self) -> bool:
        return self.media_type.startswith(_EVENTS)

    @property
    def takes_comments(self) -> bool:
        """Whether a comment may be written into the body: into events, which are not compressed."""
        return self.is_event_stream and all(name != "content-encoding" for name, _ in self.headers)


def parse_head(message: Message) -> AnswerHead:
    """Raises ValueError for a status or a header that cannot be sent."""
    status = message["status"]
    if not isinstance(status, int) or not _LOWEST <= status <= _HIGHEST:
        raise ValueError(f"the app answered with the status {status!r}, which is not one from 200 to 599")
    lines = [_line(*line) for line in message.get("headers", ())]
    lengths = [value for name, value in lines if name == "content-length"]
    types = [value for name, value in lines if name == "content-type"]
    kept = tuple(line for line in lines if line[0] not in _OF_THE_SERVER and line[0] != "content-type")
    length = int(lengths[-1]) if lengths and lengths[-1].isdecimal() else None
    return AnswerHead(status, kept, types[-1] if types else "", length)


def _line(name: Any, value: Any) -> tuple[str, str]:
    texts = tuple(text_of(each) for each in (name, value))
    if not _NAME.fullmatch(texts[0]) or not _VALUE.fullmatch(texts[1]):
        raise ValueError(f"the app answered with a header that cannot be sent: {name!r}")
    return texts[0].lower(), texts[1].strip()


def text_of(given: bytes) -> str:
    """The text whose UTF-8 are these bytes; of other bytes, the text that they are in Latin-1."""
    try:
        return given.decode()
    except UnicodeDecodeError:
        return given.decode("latin-1")


def is_standard_failure(status: int, media_type: str, body: bytes) -> bool:
    """Whether it is the text with which Starlette answers for an app that raised."""
    return (status, body) == (500, b"Internal Server Error") and media_type.startswith(_TEXT)


def is_standard_not_found(status: int, media_type: str, body: bytes) -> bool:
    """Whether it is the text with which Starlette answers for a path that no route has."""
    return (status, body) == (404, b"Not Found") and media_type.startswith(_TEXT)


_TEXT = "text/plain"
