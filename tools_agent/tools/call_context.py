"""The trace context that a host sends with each call of an MCP tool, so that the server's spans continue its trace.

It goes into `_meta` of the call (SEP-414), and into the headers of the request, for servers that trace HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

CallContext = Callable[[str], Mapping[str, str]]
"""Takes the server's URL and returns `traceparent`, `tracestate` and `baggage`, or fewer.

Called in the context of the tool.
"""

KEYS = ("traceparent", "tracestate", "baggage")
_read: CallContext | None = None


def set_call_context(read: CallContext | None) -> None:
    """For the whole process. None: nothing is sent."""
    global _read  # noqa: PLW0603 - one for the process, as the limits are
    _read = read


def call_context(url: str) -> Mapping[str, str]:
    return {} if _read is None else _read(url)


def trace_headers(message: Any) -> dict[str, str]:
    """The headers of the HTTP request that carries a JSON-RPC message with a context."""
    params = message.get("params") if isinstance(message, dict) else None
    meta = params.get("_meta") if isinstance(params, dict) else None
    if not isinstance(meta, dict):
        return {}
    return {name: value for name in KEYS if isinstance(value := meta.get(name), str)}
