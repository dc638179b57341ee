"""Health, version and description of the server. Public: no credentials are required."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Hashable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol

import orjson
import structlog

from robyn_server import __version__
from robyn_server.core.access.permissions import Operation
from robyn_server.core.langsmith import is_langsmith_on
from robyn_server.web.asgi.app_routes import RESERVED
from robyn_server.web.http.accept import prefers_html
from robyn_server.web.http.messages import Request, Response, json_response
from robyn_server.web.http.routing import Route, RouteTable
from robyn_server.web.openapi.custom_routes import with_custom_routes
from robyn_server.web.openapi.document import openapi
from robyn_server.web.openapi.reference.replies import file_reply, page_reply

from .console import add_console_routes, redirect

_log = structlog.get_logger(__name__)


class CustomRoutes(Hashable, Protocol):
    """Routes of a project's app."""

    @property
    def is_authenticated(self) -> bool: ...

    def openapi(self) -> dict[str, Any] | None: ...


class Host(Protocol):
    """The part of the edge that these routes use."""

    @property
    def routes(self) -> Sequence[Route]: ...

    @property
    def sockets_url(self) -> str | None: ...

    @property
    def credentials(self) -> tuple[str, ...]:
        """Names of the credentials that requests have, see `web/openapi/document.py`."""

    @property
    def app(self) -> CustomRoutes | None: ...

    def readiness(self) -> tuple[bool, dict[str, Any]]: ...


def system_routes(host: Host) -> RouteTable:
    routes = RouteTable(tag="System", operation=Operation.SERVER_READ)
    _health(routes, host)
    _description(routes, host)
    add_console_routes(routes)
    return routes


def _health(routes: RouteTable, host: Host) -> None:
    async def ok(services: Any, request: Request) -> Response:
        """503 while the server starts or drains, or its database is down. `check_db=1` asks the database now."""
        ready, parts = host.readiness()
        if request.query.integer("check_db", 0) and services is not None:
            await services.check_database()
        return json_response({"ok": ready, "services": parts}, status=200 if ready else 503)

    async def live(_services: Any, _request: Request) -> Response:
        return json_response(b'{"ok":true}')

    async def root(services: Any, request: Request) -> Response:
        """Health for programs. A browser is sent to the console."""
        if prefers_html(request.headers.get("accept", "")):
            return redirect("console/")
        return await ok(services, request)

    routes.get("/", summary="Health; browsers are sent to the console", other_statuses=(303, 503))(root)
    routes.get("/ok", summary="Health: whether requests can be answered", other_statuses=(503,))(ok)
    routes.get("/livez", summary="Liveness: whether the process runs")(live)


def _description(routes: RouteTable, host: Host) -> None:
    async def info(_services: Any, _request: Request) -> Response:
        return json_response({**server_info(), "sockets_url": host.sockets_url})

    async def specification(_services: Any, _request: Request) -> Response:
        # In a thread: an app with many models takes some time to describe itself.
        return json_response(await asyncio.to_thread(_specification, tuple(host.routes), host.credentials, host.app))

    async def docs(_services: Any, _request: Request) -> Response:
        return page_reply(host.routes)

    async def file(_services: Any, request: Request) -> Response:
        return await file_reply(request.path_params["file"], request.headers)

    routes.get("/info", summary="Version and features")(info)
    routes.get("/openapi.json", summary="This API as OpenAPI 3.1")(specification)
    routes.get("/docs", summary="The API reference: a page to read and try this API", media_type="text/html")(docs)
    routes.get("/docs/{file}", summary="A script or a style of that page", media_type="*/*", other_statuses=(304,))(
        file
    )


@functools.lru_cache(maxsize=2)
def _specification(routes: tuple[Route, ...], credentials: tuple[str, ...], app: CustomRoutes | None) -> bytes:
    document = openapi(routes, credentials)
    if app is None or (custom := app.openapi()) is None:
        return orjson.dumps(document)
    try:
        merged = with_custom_routes(document, custom, reserved=RESERVED, has_credentials=app.is_authenticated)
        return orjson.dumps(merged)
    except Exception as error:  # noqa: BLE001 - the app's document may have any form
        _log.warning("the app's OpenAPI document has no valid form", reason=f"{type(error).__name__}: {error}")
        return orjson.dumps(document)


@functools.cache
def server_info() -> dict[str, Any]:
    """The reference server's shape; its flags say what clients may use."""
    return {
        "version": __version__,
        "langgraph_py_version": _langgraph_version(),
        "flags": {
            "assistants": True,
            "crons": False,
            "langsmith": is_langsmith_on(),
            "langsmith_tracing_replicas": False,
            "langsmith_tracing_session_on_runs": False,
            "strict_resume": True,
        },
        "host": {
            "kind": "self-hosted",
            "project_id": None,
            "host_revision_id": None,
            "revision_id": None,
            "tenant_id": None,
        },
    }


def _langgraph_version() -> str | None:
    """From the installed metadata: importing langgraph would cost the web process 36 MB."""
    try:
        return version("langgraph")
    except PackageNotFoundError:
        return None
