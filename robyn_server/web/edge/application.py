"""The application that the edge serves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from robyn_server.web.http.routing import Route


class WebApplication(Protocol):
    """Built on the event loop after the socket listens. Every handler gets `services`."""

    @property
    def routes(self) -> Sequence[Route]: ...

    @property
    def services(self) -> Any: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def readiness(self) -> tuple[bool, dict[str, Any]]:
        """Whether requests can be answered, and the state of each part by name."""
