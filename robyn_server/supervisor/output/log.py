"""The supervisor's log on standard error: plain lines, or one JSON object per line.

It uses no logging library, because the supervisor must stay small and writes one line per event.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO, TextIO

LOG_BYTES = 10 * 1024 * 1024
"""A child's log that is larger when it is opened is renamed to `<name>.1`."""


class SupervisorLog:
    """`log_format` as in the settings: `console`, `json`, or `auto`, which is `console` on a terminal."""

    def __init__(self, log_format: str = "auto", stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self.as_json = log_format == "json" or (log_format == "auto" and not self._stream.isatty())

    def write(self, event: str, **fields: Any) -> None:
        print(self._json(event, fields) if self.as_json else _line(event, fields), file=self._stream, flush=True)

    @staticmethod
    def _json(event: str, fields: dict[str, Any]) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        return json.dumps({"timestamp": stamp, "logger": "supervisor", "event": event, **fields}, default=str)


def _line(event: str, fields: dict[str, Any]) -> str:
    return " ".join(["agenthall:", event, *(f"{name}={value}" for name, value in fields.items())])


def open_log(path: Path) -> BinaryIO:
    """Open `path` for appending, readable by its owner only. A large file is renamed first."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_BYTES:
        path.rename(path.with_name(path.name + ".1"))
    log = path.open("ab")
    path.chmod(0o600)
    return log
