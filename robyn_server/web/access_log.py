"""One line per request, written off the event loop.

The loop only appends a tuple. A thread turns what has gathered into lines and writes them, so a slow terminal or pipe delays the log
and nothing else. It works in small batches with pauses between them, because while it renders it holds the interpreter's lock.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import IO, NamedTuple

import orjson

INTERVAL_SECONDS = 0.25
BATCH_ENTRIES = 200
PACE_SECONDS = 0.01
"""Between batches under load: 20,000 lines a second at most, each batch under a millisecond."""
KEPT_ENTRIES = 100_000
"""More than that behind a stuck pipe: the oldest are lost, never the server's memory."""


class Entry(NamedTuple):
    """`at` in seconds since the epoch, `seconds` until the answer (for a stream: until its headers)."""

    at: float
    method: str
    path: str
    status: int
    seconds: float
    request_id: str


def as_json(entry: Entry) -> str:
    line = {
        "event": "request",
        "level": "info",
        "method": entry.method,
        "path": entry.path,
        "status": entry.status,
        "ms": round(entry.seconds * 1000, 2),
        "request_id": entry.request_id,
        "timestamp": _timestamp(entry.at),
    }
    return orjson.dumps(line).decode()


def as_text(entry: Entry) -> str:
    took = f"{entry.seconds * 1000:.1f} ms"
    return f"{_timestamp(entry.at)} [info] {entry.method} {entry.path!r} {entry.status} {took} {entry.request_id}"


def _timestamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class AccessLog:
    """`record` may be called from any thread. `start` and `stop` once each; `stop` writes what is left."""

    def __init__(self, stream: IO[str], render: Callable[[Entry], str]) -> None:
        self._stream = stream
        self._render = render
        self._entries: deque[Entry] = deque(maxlen=KEPT_ENTRIES)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)

    def record(self, entry: Entry) -> None:
        self._entries.append(entry)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float = 1.0) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stopping.wait(PACE_SECONDS if self._entries else INTERVAL_SECONDS):
            self.flush(BATCH_ENTRIES)
        self.flush(KEPT_ENTRIES)

    def flush(self, most: int) -> None:
        """Write at most that many of the entries that have gathered. A closed pipe is not this server's failure."""
        lines = [self._render(self._entries.popleft()) for _ in range(min(most, len(self._entries)))]
        if lines:
            with contextlib.suppress(OSError, ValueError):
                self._stream.write("\n".join(lines) + "\n")
                self._stream.flush()
