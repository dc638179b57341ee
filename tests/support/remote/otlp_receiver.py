"""A collector of OpenTelemetry traces over OTLP/HTTP, with what it was sent."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from servers.live_server import until

from remote.pausable_server import PausableServer


@dataclass(frozen=True)
class Received:
    """A span. Ids are hexadecimal; `parent` is empty for the root of a trace. `process`: its `agenthall.process`."""

    name: str
    trace: str
    id: str
    parent: str
    kind: str
    attributes: dict[str, Any]
    resource: dict[str, Any]
    events: list[tuple[str, dict[str, Any]]]
    failed: bool
    description: str
    start: int
    end: int
    state: str

    @property
    def process(self) -> str:
        return str(self.resource.get("agenthall.process", ""))


class OtlpReceiver(PausableServer):
    """`spans`: all that were sent. `bodies` and `headers`: of the requests."""

    def __init__(self) -> None:
        self.spans: list[Received] = []
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        super().__init__()

    def find(self, **wanted: Any) -> list[Received]:
        """The spans whose attributes or members (`name`, `trace`, `parent`, `id`) have these values; `__` is a
        period."""
        return [span for span in self.spans if all(_value(span, name) == value for name, value in wanted.items())]

    def texts(self) -> list[str]:
        """All that was sent: the headers and bodies of the requests."""
        return [*map(repr, self.headers), *(body.decode("latin-1") for body in self.bodies)]

    async def wait_for(self, **wanted: Any) -> Received:
        found = await until(lambda: self.find(**wanted))
        return found[0]

    async def whole(self, span: Received, caller: str = "") -> list[Received]:
        """The spans of a trace, by their start, once all parents are among them.

        `caller`: the id of one that is not.
        """

        def found() -> list[Received] | None:
            spans = sorted(self.find(trace=span.trace), key=lambda each: each.start)
            known = {each.id for each in spans} | {"", caller}
            return spans if all(each.parent in known for each in spans) else None

        spans: list[Received] = await until(found)
        return spans

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        assert path == "/v1/traces"
        body = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
        self.headers.append(headers)
        self.bodies.append(body)
        request = ExportTraceServiceRequest.FromString(body)
        for group in request.resource_spans:
            resource = _attributes(group.resource.attributes)
            self.spans += [_span(span, resource) for scope in group.scope_spans for span in scope.spans]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.asked += 1
                receiver.released.wait()
                receiver.take(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


def lineage(spans: list[Received], span: Received) -> list[str]:
    """The names from the root of the trace down to `span`."""
    above = {each.id: each for each in spans}
    names = [span.name]
    while (span := above.get(span.parent)) is not None:  # type: ignore[assignment]
        names.insert(0, span.name)
    return names


def _value(span: Received, name: str) -> Any:
    key = name.replace("__", ".")
    return getattr(span, name) if hasattr(span, name) else span.attributes.get(key)


def _span(span: WireSpan, resource: dict[str, Any]) -> Received:
    return Received(
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        WireSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        _attributes(span.attributes),
        resource,
        [(event.name, _attributes(event.attributes)) for event in span.events],
        span.status.code == Status.STATUS_CODE_ERROR,
        span.status.message,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        span.trace_state,
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _plain(pair.value) for pair in pairs}


def _plain(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(each) for each in value.array_value.values]
    return None if kind is None else getattr(value, kind)
