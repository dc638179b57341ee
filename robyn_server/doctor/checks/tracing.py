"""Check of traces: whether they are sent, and where to."""

from __future__ import annotations

from robyn_server.core.langsmith import is_langsmith_on, langsmith_endpoint, langsmith_project
from robyn_server.tracing.options import check_tracing


def check_traces() -> str:
    """Raises Misconfigured for an environment with which no process starts."""
    options = check_tracing()
    sent = []
    if options is not None:
        content = " with the content of messages" if options.captures_content else ""
        sent.append(f"OpenTelemetry to {options.shown_endpoint}{content}")
    if is_langsmith_on():
        sent.append(f"LangSmith to {langsmith_endpoint()}, project {langsmith_project()}")
    return "; ".join(sent) or "off (OTEL_EXPORTER_OTLP_ENDPOINT and LANGSMITH_TRACING are not set)"
