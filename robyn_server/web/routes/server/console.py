"""The console. Public: it is a page without data, and asks this API for everything that it shows."""

from __future__ import annotations

from typing import Any

from robyn_server.files import console_folder
from robyn_server.web.console.built_files import BuiltConsole
from robyn_server.web.console.replies import answer
from robyn_server.web.http.messages import Request, Response
from robyn_server.web.http.routing import RouteTable

_ROOT = "/console/"
_PAGE = {"media_type": "text/html", "other_statuses": (304, 503)}


def redirect(location: str) -> Response:
    """Send a browser to `location`, which is relative, so that it is right below a proxy's prefix, too."""
    return Response(303, b"", (("location", location), ("vary", "accept")), media_type="")


def add_console_routes(routes: RouteTable) -> None:
    console = BuiltConsole(console_folder())

    async def root(_services: Any, request: Request) -> Response:
        return await answer(console, "", request.headers)

    async def below(_services: Any, request: Request) -> Response:
        return await answer(console, request.path.removeprefix(_ROOT).rstrip("/"), request.headers)

    routes.get("/console", summary="The console: a page to see and operate everything", **_PAGE)(root)
    routes.get("/console/{path}", summary="A page or a file of the console", rest=True, **_PAGE)(below)
