"""Parse Server-Sent Events strictly, in the form of the reference server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import orjson

HEARTBEAT = b": heartbeat"


@dataclass(frozen=True)
class Event:
    """One event. `id` None: the frame has none."""

    name: str
    data: Any
    id: str | None


def parse_events(raw: bytes) -> list[Event]:
    """Parse a body. Fails unless each frame has the CRLF lines `event`, `data` and perhaps `id`, in this order."""
    assert raw == b"" or raw.endswith(b"\r\n\r\n"), raw[-80:]
    assert b"\n" not in raw.replace(b"\r\n", b""), "a line that does not end in CRLF"
    frames = [frame for frame in raw.split(b"\r\n\r\n") if frame]
    return [_event(frame) for frame in frames if frame != HEARTBEAT]


def _event(frame: bytes) -> Event:
    lines = frame.split(b"\r\n")
    fields = [line.partition(b": ")[0] for line in lines]
    assert fields in ([b"event", b"data"], [b"event", b"data", b"id"]), fields
    values = [line.partition(b": ")[2] for line in lines]
    return Event(values[0].decode(), orjson.loads(values[1]), values[2].decode() if len(values) == 3 else None)


async def post_stream(http: httpx.AsyncClient, path: str, body: Any) -> tuple[httpx.Response, list[Event]]:
    answer = await http.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer, parse_events(answer.content)


async def join_stream(http: httpx.AsyncClient, path: str, last: str | None = None, **params: Any) -> list[Event]:
    """Join the stream at `path` and return its events to the end."""
    headers = {} if last is None else {"last-event-id": last}
    answer = await http.get(path, headers=headers, params=params or None)
    assert answer.status_code == 200, answer.text
    return parse_events(answer.content)


@asynccontextmanager
async def open_stream(http: httpx.AsyncClient, method: str, path: str, **request: Any) -> AsyncIterator[EventReader]:
    """Open a stream to read it event by event. Closes it at the end of the block."""
    async with http.stream(method, path, **request) as answer:
        assert answer.status_code == 200, await answer.aread()
        yield EventReader(answer)


class EventReader:
    def __init__(self, answer: httpx.Response) -> None:
        self.headers: Mapping[str, str] = answer.headers
        self._chunks = answer.aiter_raw()
        self._buffer = b""

    async def next(self) -> Event | None:
        """Return the next event; None at the end."""
        while True:
            while b"\r\n\r\n" in self._buffer:
                frame, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
                if frame != HEARTBEAT:
                    return _event(frame)
            try:
                self._buffer += await anext(self._chunks)
            except StopAsyncIteration:
                return None

    async def read_rest(self) -> list[Event]:
        found = []
        while (event := await self.next()) is not None:
            found.append(event)
        return found


def event_names(events: list[Event]) -> list[str]:
    return [event.name for event in events]


def problem_detail(answer: httpx.Response) -> str:
    """Return the `detail` of a problem document, which must be a string."""
    said = answer.json()["detail"]
    assert isinstance(said, str)
    return said
