"""Let the middleware of a Starlette or FastAPI app run around the server's own routes as well.

Starlette's chain is its handler of errors, the app's middleware, its handler of exceptions, and the router. `Innermost`
becomes the last of the middleware. There a request goes on to the router, or to what its scope names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from .protocol import App, Receive, Scope, Send

INNER = "agenthall.inner"
"""The key of a scope for what the middleware surrounds, in place of the router."""

Inner: TypeAlias = Callable[[asyncio.Event, App, Scope, Receive, Send], Awaitable[None]]
"""Given the event that is set when nobody reads the answer any more, and the rest of the app, up to its router."""


class Innermost:
    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        inner = scope.get(INNER)
        if inner is None:
            await self._app(scope, receive, send)
        else:
            await inner(self._app, scope, receive, send)


def add_innermost(app: App) -> None:
    """Let the app's middleware, if it has any, surround `INNER`. Call it before the app's startup."""
    middleware: Any = getattr(app, "user_middleware", None)
    if middleware and middleware[-1].cls is not Innermost:
        middleware.append(type(middleware[0])(Innermost))


def middleware_names(app: App) -> list[str]:
    """The middleware of a Starlette or FastAPI app; empty for another. A function that is one has its own name."""
    listed = [each for each in getattr(app, "user_middleware", ()) if each.cls is not Innermost]
    parts = [each.kwargs.get("dispatch", each.cls) for each in listed]
    return [getattr(each, "__name__", repr(each)) for each in parts]
