"""Writes the log lines of a process in the order in which they were logged, from a thread.

The caller only appends a function that renders its line. The thread renders and writes in small batches with pauses,
because it holds the interpreter's lock while it renders. So a slow terminal, a slow pipe and long tracebacks delay only
the log.
"""

from __future__ import annotations

import atexit
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from typing import IO

INTERVAL_SECONDS = 0.25
"""Longest delay of a line that may wait."""

BATCH_LINES = 200
PACE_SECONDS = 0.01
"""Pause between batches under load: at most 20,000 lines a second, a batch of requests in under a millisecond."""

MAX_LINES = 100_000
"""Lines kept behind a blocked pipe. Beyond it the oldest are lost, to bound memory."""


class LogWriter:
    """`write` may be called from any thread. The thread starts with `start`; without it `flush` writes."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._lines: deque[Callable[[], str]] = deque(maxlen=MAX_LINES)
        self._wake = threading.Event()
        self._stopping = False
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def write(self, render: Callable[[], str], *, may_wait: bool = False) -> None:
        """Append a line without its newline.

        One that may wait is written with the next one that may not, or after a moment.
        """
        self._lines.append(render)
        if not may_wait:
            self._wake.set()

    def start(self) -> None:
        self._thread.start()
        atexit.register(self.stop)

    def stop(self, timeout: float = 1.0) -> None:
        """Write all lines that are left, unless the stream blocks for longer than `timeout` seconds."""
        self._stopping = True
        self._wake.set()
        if self.is_running:
            self._thread.join(timeout)

    def flush(self) -> None:
        """Write all lines now, in the calling thread."""
        self._write_batch(MAX_LINES)

    def _run(self) -> None:
        while not self._stopping:
            self._wake.wait(INTERVAL_SECONDS)
            self._wake.clear()
            while self._lines:
                self._write_batch(BATCH_LINES)
                if self._lines and not self._stopping:
                    self._wake.wait(PACE_SECONDS)
        self.flush()

    def _write_batch(self, limit: int) -> None:
        """Errors of a closed pipe are ignored: there is no place to report them."""
        with self._writing:
            lines = [_rendered(self._lines.popleft()) for _ in range(min(limit, len(self._lines)))]
            if lines:
                with contextlib.suppress(OSError, ValueError):
                    self._stream.write("\n".join(lines) + "\n")
                    self._stream.flush()


def _rendered(render: Callable[[], str]) -> str:
    try:
        return render()
    except Exception as error:  # noqa: BLE001  a value whose repr() raises must not end the thread
        return f"a log line could not be rendered: {error!r}"
