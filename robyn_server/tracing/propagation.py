"""From OpenTelemetry's context to the headers of W3C Trace Context, and back."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from robyn_server.core.trace_context import TraceContext

_W3C = TraceContextTextMapPropagator()


def context_of(headers: Mapping[str, str]) -> Context:
    """The context of a caller. Without a valid traceparent a new trace begins."""
    return _W3C.extract(headers, context=Context())


def current_trace(context: Context | None = None) -> TraceContext | None:
    """The span that is current, or that of `context`, for another process; None without one."""
    headers: dict[str, str] = {}
    _W3C.inject(headers, context)
    return TraceContext.of(headers.get("traceparent"), headers.get("tracestate"))


def current_ids() -> Mapping[str, str]:
    """The ids of the current span, for log lines."""
    found = trace.get_current_span().get_span_context()
    if not found.is_valid:
        return {}
    return {"trace_id": trace.format_trace_id(found.trace_id), "span_id": trace.format_span_id(found.span_id)}
