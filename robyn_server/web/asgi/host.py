"""Hosts the app of a project: its lifespan, its requests, and their end."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import structlog

from .app_routes import AppRoutes
from .call import AppCall
from .description import openapi_of
from .lifespan import Lifespan
from .loading import load_app
from .middleware import INNER, Inner, add_innermost, middleware_names
from .protocol import App
from .scope import AppRequest, decoded, http_scope

_log = structlog.get_logger(__name__)


class AppHost:
    """`path`: where the app was loaded from. `server`: the address that it is served at.

    `heartbeat_seconds`: between comments on a silent event stream. `stop_seconds`: time for work that goes on after
    its answer, and again for the shutdown.
    """

    def __init__(
        self, app: App, path: str, server: tuple[str, int], *, heartbeat_seconds: float, stop_seconds: float
    ) -> None:
        self.routes = AppRoutes(app)
        self._app = app
        self._path = path
        self._server = server
        self._heartbeat_seconds = heartbeat_seconds
        self._stop_seconds = stop_seconds
        self._lifespan = Lifespan(app)
        self._tasks: set[asyncio.Task[None]] = set()
        self.middleware = middleware_names(app)
        """Names of the middleware that runs around the app's routes, and around the server's."""
        add_innermost(app)

    def openapi(self) -> dict[str, Any] | None:
        """The OpenAPI document of the app, if it has one to publish. It may take some time when it is made."""
        return openapi_of(self._app)

    async def start(self) -> None:
        """Run the app's startup. Raises Misconfigured when it fails."""
        await self._lifespan.start()
        _log.info("the project's app is served", app=self._path)
        if self.middleware:
            _log.info("the app's middleware runs around all routes", middleware=self.middleware)

    async def stop(self) -> None:
        """Let work finish that goes on after its answer, and run the app's shutdown."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._stop_seconds)
        for task in list(self._tasks):
            task.cancel()
        await self._lifespan.stop(self._stop_seconds)

    def call(self, request: AppRequest, inner: Inner | None = None) -> AppCall:
        """Begin the request. `inner`: what the app's middleware surrounds; None: the app's router.

        Raises BadRequest for a path that is not UTF-8.
        """
        scope = http_scope(request, self._server, self._lifespan.state)
        if (path := self.routes.spelled(request.method, scope["path"])) != scope["path"]:
            scope |= {"path": path, "raw_path": scope["raw_path"] + b"/"}
        call = AppCall(self._app, scope, request.body, self._heartbeat_seconds)
        if inner is not None:
            scope[INNER] = functools.partial(inner, call.ended)
        task = call.start()
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return call

    def precedes(self, method: str, path: str) -> bool:
        """Whether the app takes the request before the server's own routes.

        Raises BadRequest for a path that is not UTF-8.
        """
        return self.routes.precede(method, decoded(path))


def host_app(path: str, server: tuple[str, int], *, heartbeat_seconds: float, stop_seconds: float) -> AppHost:
    """Load the app that `path` names. Raises Misconfigured."""
    app = load_app(path)
    return AppHost(app, path, server, heartbeat_seconds=heartbeat_seconds, stop_seconds=stop_seconds)
