"""Robyn, the only place that knows it.

Its low-level `Server` is used and not its `Robyn` class: that one calls `logging.basicConfig`, reads `robyn.env` into the environment and
asks for another port on standard input. One catch-all route per method leads to our edge, so the table of routes may come later
than the socket, and 404, 405, HEAD and OPTIONS are ours. `tests/web` holds a regression test for each of Robyn's traps.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import structlog

from robyn_server import logs
from robyn_server.core.errors import Misconfigured
from robyn_server.metrics.definitions import HTTP_IN_FLIGHT, STREAMS_OPEN
from robyn_server.settings import Settings

from .access_log import AccessLog, as_json, as_text
from .auth import Authenticate
from .edge import Edge, RawRequest, Reply, Streaming
from .lifecycle import EXIT_MISCONFIGURED, EXIT_START_FAILED, SIGNALS, Build, Lifecycle, exit_process
from .recheck import Recheck
from .seats import share_of
from .stream import STALL_SECONDS, Streams, workers_for

log = structlog.get_logger(__name__)

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE")
_SENT_BY_ROBYN = frozenset({"cache-control", "x-accel-buffering", "pragma", "expires"})
"""On streams Robyn sends these itself; ours would be doubled."""


def run(
    settings: Settings,
    build: Build,
    on_ready: Callable[[], None],
    *,
    share_port: bool = False,
    cpu: int | None = None,
    stall_seconds: float = STALL_SECONDS,
    identify: Authenticate | None = None,
) -> NoReturn:
    """Serve until a signal; never returns. Exit codes: 0 stopped, 2 misconfigured, 3 start failed, 130 second signal.

    `build` runs on the loop after the socket listens; `on_ready` is called when the application has started.
    `share_port`: other processes of ours listen there too (whoever starts them checks that the port is free).
    `cpu`: pin the process to that core. `stall_seconds`: how long a stream waits for a reader that does not read.
    `identify`: who asks (unset: by the settings alone, which know no API keys).
    """
    logs.configure(settings)
    for number in SIGNALS:
        signal.signal(number, lambda _number, _frame: os._exit(0))  # nothing to drain until the loop takes over
    pin_to(cpu)
    try:
        address, held = claim_port(settings.host, settings.port, share=share_port)
    except Misconfigured as error:
        log.error("web.misconfigured", problem=error.detail, setting=error.field)  # noqa: TRY400 - the operator's, no trace
        exit_process(EXIT_MISCONFIGURED)
    with held:
        _serve(settings, build, on_ready, address, stall_seconds, identify)
    exit_process(EXIT_START_FAILED)  # the loop was stopped by somebody else


def _serve(
    settings: Settings,
    build: Build,
    on_ready: Callable[[], None],
    address: tuple[str, int],
    stall_seconds: float,
    identify: Authenticate | None,
) -> None:
    access_log = _access_log(settings)
    edge = Edge(
        settings,
        Streams(
            settings.max_streams, settings.heartbeat_seconds, stall_seconds=stall_seconds, share=share_of(settings)
        ),
        identify=identify,
        record=access_log.record if access_log else None,
    )
    HTTP_IN_FLIGHT.follow(lambda: edge.in_flight)
    STREAMS_OPEN.follow(lambda: edge.streams.open)
    with _blank_argv():
        from robyn.robyn import get_version
    lifecycle = Lifecycle(edge, address, build, on_ready, reap=get_version, drain_seconds=settings.drain_seconds)
    recheck = Recheck(edge.streams, settings.streams_recheck_seconds)
    _run_robyn(edge, lifecycle, recheck, address, workers_for(settings.max_streams, cpu_count()))


def _access_log(settings: Settings) -> AccessLog | None:
    if settings.log_level.upper() not in {"DEBUG", "INFO"}:
        return None
    access_log = AccessLog(sys.stderr, as_json if logs.wants_json(settings) else as_text)
    access_log.start()
    atexit.register(access_log.stop)
    return access_log


@contextlib.contextmanager
def _blank_argv() -> Iterator[None]:
    """Importing robyn parses the command line: `--help` would print Robyn's help and exit."""
    argv, sys.argv = sys.argv, sys.argv[:1]
    try:
        yield
    finally:
        sys.argv = argv


def _run_robyn(edge: Edge, lifecycle: Lifecycle, recheck: Recheck, address: tuple[str, int], workers: int) -> None:
    """Blocks for the rest of the process's life."""
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
        )
        return rendered(await edge.handle(raw))

    return handle


def cpu_count() -> int:
    """CPUs that this process may use: what Robyn divides its threads by."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def pin_to(cpu: int | None) -> None:
    if cpu is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {cpu})


def claim_port(host: str, port: int, *, share: bool = False) -> tuple[tuple[str, int], socket.socket]:
    """The address to serve on, and a socket that holds it. Raises Misconfigured when the port is somebody else's.

    Robyn always binds with SO_REUSEPORT: without this check two servers would silently share a port and split its traffic.
    The socket returned never listens; it keeps port 0's choice ours until Robyn listens there.
    """
    family, address = resolve(host, port)
    if port and not share:
        _refuse_taken(family, address)
    held = socket.socket(family, socket.SOCK_STREAM)
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(address)
    except OSError as error:
        held.close()
        raise _cannot_listen(address, error) from None
    bound: tuple[str, int] = held.getsockname()[:2]
    return bound, held


def _refuse_taken(family: socket.AddressFamily, address: tuple[str, int]) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections in TIME_WAIT do not count
        try:
            probe.bind(address)
        except OSError as error:
            raise _cannot_listen(address, error) from None


def resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    """Robyn takes numeric addresses only. IPv4 first where a name has both."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise Misconfigured(f"cannot resolve {host}: {error.strerror}", field="AGENTHALL_HOST") from None
    family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return family, (str(address[0]), int(address[1]))


def _cannot_listen(address: tuple[str, int], error: OSError) -> Misconfigured:
    reason = "it is in use" if error.errno == errno.EADDRINUSE else str(error.strerror)
    return Misconfigured(f"cannot listen on {address[0]} port {address[1]}: {reason}", field="AGENTHALL_PORT")
