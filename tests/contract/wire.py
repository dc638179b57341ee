"""What goes over the wire, read strictly: frames of Server-Sent Events as the reference server writes them."""

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
    """One event; `id` None where the frame has none."""

    name: str
    data: Any
    id: str | None


def events_in(raw: bytes) -> list[Event]:
    """All events of a whole body. Fails on a frame that is not CRLF lines `event`, `data` and perhaps `id`, in this order."""
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
    return answer, events_in(answer.content)


async def joined(http: httpx.AsyncClient, path: str, last: str | None = None, **params: Any) -> list[Event]:
    """The events that a join of the stream at `path` gives, to its end."""
    headers = {} if last is None else {"last-event-id": last}
    answer = await http.get(path, headers=headers, params=params or None)
    assert answer.status_code == 200, answer.text
    return events_in(answer.content)


@asynccontextmanager
async def opened(http: httpx.AsyncClient, method: str, path: str, **request: Any) -> AsyncIterator[Reading]:
    """A stream that is read frame by frame, and left when the block is."""
    async with http.stream(method, path, **request) as answer:
        assert answer.status_code == 200, await answer.aread()
        yield Reading(answer)


class Reading:
    def __init__(self, answer: httpx.Response) -> None:
        self.headers: Mapping[str, str] = answer.headers
        self._chunks = answer.aiter_raw()
        self._buffer = b""

    async def next(self) -> Event | None:
        """The next event; None at the end."""
        while True:
            while b"\r\n\r\n" in self._buffer:
                frame, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
                if frame != HEARTBEAT:
                    return _event(frame)
            try:
                self._buffer += await anext(self._chunks)
            except StopAsyncIteration:
                return None

    async def rest(self) -> list[Event]:
        found = []
        while (event := await self.next()) is not None:
            found.append(event)
        return found


def names(events: list[Event]) -> list[str]:
    return [event.name for event in events]


def detail(answer: httpx.Response) -> str:
    """The problem's `detail`, which must be a string."""
    said = answer.json()["detail"]
    assert isinstance(said, str)
    return said
