"""One log line per request, in the form of the other lines."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import orjson

from robyn_server.log_writer import LogWriter
from robyn_server.logs import timestamp

PROBES = frozenset({"/livez", "/ok", "/metrics"})
"""Paths that machines ask for every few seconds. Only their failures are logged."""

_EVENT_WIDTH = 30
_COLORED = "\x1b[36m{}\x1b[0m=\x1b[35m{}\x1b[0m"
"""Width and colors are those of structlog's console."""

_FAILURE = 400


class Entry(NamedTuple):
    """`at` in seconds since the epoch, `seconds` until the answer (for a stream: until its headers)."""

    at: float
    method: str
    path: str
    status: int
    seconds: float
    request_id: str
    trace_ids: Mapping[str, str] = MappingProxyType({})


def as_json(entry: Entry) -> str:
    line = {
        "event": "request",
        "level": "info",
        "method": entry.method,
        "path": entry.path,
        "status": entry.status,
        "ms": round(entry.seconds * 1000, 2),
        "request_id": entry.request_id,
        **entry.trace_ids,
        "timestamp": timestamp(entry.at),
    }
    return orjson.dumps(line).decode()


def as_text(entry: Entry, *, colors: bool = False) -> str:
    path = entry.path if entry.path.isprintable() else repr(entry.path)
    event = f"{entry.method} {path}".ljust(_EVENT_WIDTH)
    fields = {"status": str(entry.status), "ms": f"{entry.seconds * 1000:.1f}"}
    if entry.status >= _FAILURE:
        fields["request_id"] = entry.request_id
    form = _COLORED if colors else "{}={}"
    shown = " ".join(form.format(name, value) for name, value in fields.items())
    if colors:
        return f"\x1b[2m{timestamp(entry.at)}\x1b[0m [\x1b[32m\x1b[1minfo     \x1b[0m] \x1b[1m{event}\x1b[0m {shown}"
    return f"{timestamp(entry.at)} [info     ] {event} {shown}"


def request_recorder(writer: LogWriter, render: Callable[[Entry], str]) -> Callable[[Entry], None]:
    """Return a function that logs a request. It costs a request no more than an append."""

    def record(entry: Entry) -> None:
        if entry.status >= _FAILURE or entry.path not in PROBES:
            writer.write(functools.partial(render, entry), may_wait=True)

    return record
