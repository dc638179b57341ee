"""Calls of MCP tools. The span of the tool is that of the call, too: it gets the attributes of MCP, and the server
continues its trace.

https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/gen-ai/mcp.md
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from opentelemetry import trace

from .propagation import current_trace

_PORTS = {"http": 80, "https": 443}


def mcp_call_context(url: str) -> Mapping[str, str]:
    """The trace context for the server at `url`, in whose call the current span is.

    Only the server's address becomes an attribute.
    """
    parts = urlsplit(url)
    span = trace.get_current_span()
    span.set_attribute("network.transport", "tcp")
    if parts.hostname:
        span.set_attribute("server.address", parts.hostname)
        span.set_attribute("server.port", parts.port or _PORTS.get(parts.scheme, 0))
    context = current_trace()
    return {} if context is None else context.headers
