"""Load a project's app and check it. Everything that cannot be served is refused by name."""

from __future__ import annotations

import inspect
from typing import Any

from robyn_server.core.errors import Misconfigured
from robyn_server.graphs.loading.imports import import_object

from .protocol import App
from .route_reading import web_sockets_of

SETTING = "AGENTHALL_HTTP_APP"


def load_app(path: str) -> App:
    """Load the app that `path` names: `module:name`, or `/path/to/file.py:name`. Raises Misconfigured."""
    app = _import(path)
    if inspect.isclass(app) or not callable(app):
        raise _wrong(path, f"it is {_kind(app)}, not an ASGI app such as FastAPI() or Starlette()")
    if sockets := sorted(web_sockets_of(app)):
        raise _wrong(
            path,
            f"the WebSocket {sockets[0]!r} is not offered. Send server-sent events, or serve it from a process of"
            " its own, behind the same proxy",
        )
    served: App = app
    return served


def _kind(app: Any) -> str:
    return f"the class {app.__name__}" if inspect.isclass(app) else f"of type {type(app).__name__}"


def _import(path: str) -> Any:
    where, _, name = path.rpartition(":")
    if not where or not name:
        raise _wrong(path, "write `module:name`, or `/path/to/file.py:name`")
    try:
        return import_object(path, "agenthall_project_app")
    except (Exception, SystemExit) as error:  # importing executes the project's code
        reason = str(error) if isinstance(error, ImportError | OSError) else f"{type(error).__name__}: {error}"
        raise _wrong(path, reason) from error


def _wrong(path: str, reason: str) -> Misconfigured:
    return Misconfigured(f"{SETTING}: the app at '{path}' (http.app) cannot be used: {reason}", field=SETTING)
