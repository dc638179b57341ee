"""An MCP server that is traced: it continues the trace of `_meta`, sends its span to a collector, and shows what it was
given.

`--port N --collector URL`.
"""

from __future__ import annotations

import argparse
import json

import uvicorn
from mcp.server.fastmcp import Context, FastMCP
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

KEYS = ("traceparent", "tracestate", "baggage")


def server(collector: str) -> FastMCP:
    provider = TracerProvider(resource=Resource.create({"service.name": "tool-server"}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{collector}/v1/traces")))
    tracer = provider.get_tracer("traced")
    mcp = FastMCP("traced", log_level="CRITICAL")

    @mcp.tool()
    async def look(subject: str, context: Context) -> str:
        """Look at a subject, and tell what the call came with."""
        meta = context.request_context.meta
        given = {} if meta is None else {key: value for key, value in meta.model_dump().items() if key in KEYS}
        parent = TraceContextTextMapPropagator().extract(given)
        with tracer.start_as_current_span("tools/call look", parent, kind=SpanKind.SERVER):
            request = context.request_context.request
            headers = {} if request is None else {key: value for key, value in request.headers.items() if key in KEYS}
            return json.dumps({"subject": subject, "meta": given, "headers": headers})

    @mcp.tool()
    async def break_down(why: str) -> str:
        """Fail for a reason."""
        raise ValueError(why)

    return mcp


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--collector", required=True)
    options = parser.parse_args()
    app = server(options.collector).streamable_http_app()
    uvicorn.run(app, host="127.0.0.1", port=options.port, log_level="critical", timeout_graceful_shutdown=1)


if __name__ == "__main__":
    main()
