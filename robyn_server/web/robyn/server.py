"""Runs the edge on Robyn.

Uses Robyn's low-level `Server` and not its class `Robyn`, which calls `logging.basicConfig`, reads `robyn.env` into the
environment and asks for another port on standard input. One catch-all route per method leads to the edge, so routes may
be added after the socket listens, and 404, 405, HEAD and OPTIONS are ours. `tests/web` holds a regression test for each
fault of Robyn.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import structlog

from robyn_server import logs
from robyn_server.core.errors import Misconfigured
from robyn_server.log_writer import LogWriter
from robyn_server.metrics.definitions import HTTP_IN_FLIGHT, STREAMS_OPEN
from robyn_server.ports import hold_port
from robyn_server.settings import Settings
from robyn_server.web.asgi.host import AppHost
from robyn_server.web.edge.access.authentication import Authenticate
from robyn_server.web.edge.access.gate import AccessGate
from robyn_server.web.edge.access_log import Entry, as_json, as_text, request_recorder
from robyn_server.web.edge.edge import Edge
from robyn_server.web.edge.raw_request import RawRequest, Wire
from robyn_server.web.edge.replies import Reply, Streaming
from robyn_server.web.streams.bridge import STALL_SECONDS
from robyn_server.web.streams.open_streams import OpenStreams
from robyn_server.web.streams.reauthorizer import StreamReauthorizer
from robyn_server.web.streams.slots import slots_per_principal

from .lifecycle import EXIT_MISCONFIGURED, EXIT_START_FAILED, SIGNALS, Build, Lifecycle, exit_process

if TYPE_CHECKING:
    from robyn_server.tracing.http_spans import HttpSpans

log = structlog.get_logger(__name__)

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE")
_SENT_BY_ROBYN = frozenset({"cache-control", "x-accel-buffering", "pragma", "expires"})
"""Robyn adds these to streams; ours would be duplicates."""

ROBYN_THREADS = 512
"""Threads of one actix worker, before they are divided by the number of CPUs."""


def run(
    settings: Settings,
    build: Build,
    on_ready: Callable[[], None],
    *,
    share_port: bool = False,
    cpu: int | None = None,
    stall_seconds: float = STALL_SECONDS,
    identify: Authenticate | None = None,
    gate: AccessGate | None = None,
    app: AppHost | None = None,
    spans: HttpSpans | None = None,
) -> NoReturn:
    """Serve until a signal; never returns. Exit codes: 0 stopped, 2 misconfigured, 3 start failed, 130 second signal.

    `build` runs on the loop after the socket listens; `on_ready` is called when the application has started.
    `share_port`: other processes of this server listen there, too (the supervisor checks that the port is free).
    `cpu`: pin the process to that core. `stall_seconds`: how long a stream waits for a reader that does not read.
    `identify`: authenticates requests (unset: by the settings alone, which know no API keys). `gate`: the handlers of a
    project, which do so for the LangGraph API. `app`: answers the project's own routes. `spans`: of requests, where
    they are traced.
    """
    writer = logs.configure(settings)
    for number in SIGNALS:
        signal.signal(number, lambda _number, _frame: os._exit(0))  # nothing to drain before the loop runs
    pin_to(cpu)
    try:
        held = hold_port(settings.host, settings.port, shared=share_port)
    except Misconfigured as error:
        log.error("web.misconfigured", problem=error.detail, setting=error.field)  # noqa: TRY400 - for the operator, without a traceback
        exit_process(EXIT_MISCONFIGURED)
    with held:
        _serve(settings, writer, build, on_ready, held.getsockname()[:2], stall_seconds, identify, gate, app, spans)
    exit_process(EXIT_START_FAILED)  # the loop was stopped from outside


def _serve(
    settings: Settings,
    writer: LogWriter,
    build: Build,
    on_ready: Callable[[], None],
    address: tuple[str, int],
    stall_seconds: float,
    identify: Authenticate | None,
    gate: AccessGate | None,
    app: AppHost | None,
    spans: HttpSpans | None,
) -> None:
    edge = Edge(
        settings,
        OpenStreams(
            settings.max_streams,
            settings.heartbeat_seconds,
            stall_seconds=stall_seconds,
            share=slots_per_principal(settings),
        ),
        identify=identify,
        gate=gate,
        app=app,
        record=_request_recorder(settings, writer),
        spans=spans,
    )
    HTTP_IN_FLIGHT.set_function(lambda: edge.in_flight)
    STREAMS_OPEN.set_function(lambda: edge.streams.open)
    with _blank_argv():
        from robyn.robyn import get_version
    lifecycle = Lifecycle(edge, address, build, on_ready, reap=get_version, drain_seconds=settings.drain_seconds)
    recheck = StreamReauthorizer(edge.streams, settings.streams_recheck_seconds)
    _run_robyn(edge, lifecycle, recheck, address, workers_for(settings.max_streams, cpu_count()))


def _request_recorder(settings: Settings, writer: LogWriter) -> Callable[[Entry], None] | None:
    if settings.log_level.upper() not in {"DEBUG", "INFO"}:
        return None
    as_line = as_json if logs.wants_json(settings) else functools.partial(as_text, colors=sys.stderr.isatty())
    return request_recorder(writer, as_line)


@contextlib.contextmanager
def _blank_argv() -> Iterator[None]:
    """Hide the command line while robyn is imported: it parses it, and `--help` would print Robyn's help and exit."""
    argv, sys.argv = sys.argv, sys.argv[:1]
    try:
        yield
    finally:
        sys.argv = argv


def _run_robyn(
    edge: Edge, lifecycle: Lifecycle, recheck: StreamReauthorizer, address: tuple[str, int], workers: int
) -> None:
    """Run until the process ends."""
    from robyn.processpool import initialize_event_loop
    from robyn.robyn import FunctionInfo, Headers, HttpMethod, Server, SocketHeld

    async def started() -> None:
        lifecycle.listening()
        recheck.start()

    loop = initialize_event_loop()  # type: ignore[no-untyped-call]
    server: Any = Server()
    server.apply_request_headers(Headers({}))
    server.apply_response_headers(Headers({}))
    server.set_response_headers_exclude_paths(None)
    handler = FunctionInfo(_handler(edge), True, 1, {"request": None}, {})
    for method in METHODS:
        for path in ("/", "/*path"):
            server.add_route(getattr(HttpMethod, method), path, handler, False)
    server.add_startup_handler(FunctionInfo(started, True, 0, {}, {}))
    server.start(SocketHeld(*address), workers)
    loop.run_forever()


def _handler(edge: Edge) -> Callable[[Any], Any]:
    """The only coroutine that Robyn ever calls."""
    from robyn.responses import StreamingResponse
    from robyn.robyn import Headers, Response

    def rendered(reply: Reply) -> Any:
        headers = Headers({})
        if reply.media_type:
            headers.set("content-type", reply.media_type)
        if isinstance(reply, Streaming):
            for name, value in reply.headers:
                if name.lower() not in _SENT_BY_ROBYN:
                    headers.append(name, value)
            chunks: Any = reply.chunks
            return StreamingResponse(chunks, reply.status, headers, reply.media_type)
        for name, value in reply.headers:
            headers.append(name, value)
        return Response(reply.status, headers, reply.body)

    async def handle(request: Any) -> Any:
        raw = RawRequest(
            request.method,
            request.url.path,
            request.query_params.multi_items(),
            request.headers.to_dict(),
            request.body,
            lambda: Wire(request.ip_addr, request.url.scheme, request.headers.multi_items()),
        )
        return rendered(await edge.handle(raw))

    return handle


def workers_for(max_streams: int, cpus: int) -> int:
    """The number of actix workers whose thread pools hold `max_streams` twice over (streams are not spread evenly)."""
    return math.ceil(2 * max_streams / max(1, ROBYN_THREADS // cpus))


def cpu_count() -> int:
    """CPUs that this process may use; Robyn divides its threads by it."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def pin_to(cpu: int | None) -> None:
    if cpu is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {cpu})
