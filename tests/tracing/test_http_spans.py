"""Spans of requests, at the edge and without a socket."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from robyn_server.core.access.permissions import Operation
from robyn_server.settings import load_settings
from robyn_server.tracing.http_spans import HttpSpans
from robyn_server.web.edge.edge import Edge, Streaming
from robyn_server.web.edge.raw_request import RawRequest
from robyn_server.web.http.messages import Request, Response, Sink, Stream, json_response
from robyn_server.web.http.routing import RouteTable
from robyn_server.web.streams.open_streams import OpenStreams

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

routes = RouteTable(tag="Sample", operation=Operation.APP_USE)


@routes.get("/things/{name}", summary="The id of the current span")
async def thing(_services: Any, _request: Request) -> Response:
    return json_response({"span": trace.format_span_id(trace.get_current_span().get_span_context().span_id)})


@routes.get("/broken", summary="A bug")
async def broken(_services: Any, _request: Request) -> Response:
    raise RuntimeError("a bug")


@routes.get("/frames", summary="Two frames", streams=True)
async def frames(_services: Any, _request: Request) -> Stream:
    async def produce(sink: Sink) -> None:
        with trace.get_tracer("tests").start_as_current_span("inside"):
            await sink.put(b"one")
        await sink.put(b"two")

    return Stream(produce)


@routes.get("/short", summary="A body that is whole at once", streams=True)
async def short(_services: Any, request: Request) -> Stream:
    async def produce(sink: Sink) -> None:
        if request.headers.get("x-fails"):
            raise RuntimeError("a bug")
        await sink.put(b"{}")

    return Stream(produce, whole_within=60)


class Application:
    routes = routes
    services = None

    def readiness(self) -> tuple[bool, dict[str, Any]]:
        return True, {}


class Traced:
    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        spans = HttpSpans(provider.get_tracer("tests"))
        self.edge = Edge(load_settings(), OpenStreams(10, 15.0), spans=spans)
        self.edge.serve(Application())  # type: ignore[arg-type]

    async def ask(self, path: str, method: str = "GET", **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.edge.handle(RawRequest(method, path, (), named))

    @property
    def span(self) -> ReadableSpan:
        (span,) = self._exporter.get_finished_spans()
        return span


@pytest.fixture
def traced() -> Traced:
    return Traced()


async def test_a_request_has_the_attributes_of_the_conventions(traced: Traced) -> None:
    reply = await traced.ask("/things/a", host="localhost:8080", user_agent="curl/8", x_request_id="r-1")
    assert traced.span.name == "GET /things/{name}"
    assert dict(traced.span.attributes or {}) == {
        "http.request.method": "GET",
        "url.path": "/things/a",
        "url.scheme": "http",
        "server.address": "localhost",
        "server.port": 8080,
        "user_agent.original": "curl/8",
        "agenthall.request.id": "r-1",
        "http.route": "/things/{name}",
        "http.response.status_code": 200,
    }
    assert trace.format_span_id(traced.span.context.span_id) in reply.body.decode()
    assert not trace.get_current_span().get_span_context().is_valid, "after the request no span is current"


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("[::1]:80", ("::1", 80)),
        ("[::1]", ("::1", None)),
        ("x:y", ("x", None)),
        ("", (None, None)),
        ("[", (None, None)),
    ],
)
async def test_any_host_header_is_read(traced: Traced, host: str, address: tuple[Any, Any]) -> None:
    await traced.ask("/things/a", host=host)
    attributes = traced.span.attributes or {}
    found = attributes.get("server.address"), attributes.get("server.port")
    assert found in (address, (None, None))


async def test_a_valid_traceparent_is_continued(traced: Traced) -> None:
    await traced.ask("/things/a", traceparent=PARENT)
    assert traced.span.parent is not None
    assert traced.span.parent.span_id == 0x00F067AA0BA902B7


@pytest.mark.parametrize("given", ["", "x", "00-0-0-01", "00-" + "0" * 32 + "-00f067aa0ba902b7-01", "x" * 10_000])
async def test_another_traceparent_begins_a_new_trace(traced: Traced, given: str) -> None:
    await traced.ask("/things/a", traceparent=given)
    assert traced.span.parent is None


async def test_a_fault_of_the_server_is_an_error_and_one_of_the_client_is_none(traced: Traced) -> None:
    await traced.ask("/broken")
    assert (traced.span.status.status_code, (traced.span.attributes or {})["error.type"]) == (
        trace.StatusCode.ERROR,
        "500",
    )
    other = Traced()
    await other.ask("/nowhere")
    assert (other.span.name, other.span.status.status_code) == ("GET", trace.StatusCode.UNSET)


async def test_an_unknown_method_does_not_become_a_name(traced: Traced) -> None:
    await traced.ask("/things/a", method="BREW")
    attributes = traced.span.attributes or {}
    assert (traced.span.name, attributes["http.request.method"]) == ("HTTP", "_OTHER")
    assert attributes["http.request.method_original"] == "BREW"


async def test_the_span_of_a_stream_ends_with_its_last_frame(traced: Traced) -> None:
    reply = await traced.ask("/frames")
    assert isinstance(reply, Streaming)
    assert not traced._exporter.get_finished_spans()
    (opened,) = traced.edge.streams
    assert opened.task is not None
    await opened.task
    assert (traced.span.name, (traced.span.attributes or {})["http.response.status_code"]) == ("GET /frames", 200)


@pytest.mark.parametrize(("headers", "status"), [({}, 200), ({"x_fails": "yes"}, 500)])
async def test_the_span_of_a_body_that_is_soon_whole_has_its_status(
    traced: Traced, headers: dict[str, str], status: int
) -> None:
    reply = await traced.ask("/short", **headers)
    assert reply.status == status
    assert (traced.span.name, (traced.span.attributes or {})["http.response.status_code"]) == ("GET /short", status)


@pytest.mark.parametrize("path", ["/livez", "/ok", "/metrics"])
async def test_a_probe_has_no_span(traced: Traced, path: str) -> None:
    await traced.ask(path)
    assert not traced._exporter.get_finished_spans()
