"""The authorization that an open stream was granted. `reauthorizer.py` evaluates it again while the stream is open."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from robyn_server.core.access.principal import Principal
from robyn_server.web.http.messages import Permits


class StreamAuthorization:
    """`authorize` identifies and authorizes the request again. `verified_at`: the last time, on the loop's clock."""

    __slots__ = ("_authorize", "_principal", "request_id", "verified_at")

    def __init__(self, principal: Principal, authorize: Callable[[], Awaitable[Principal]], request_id: str) -> None:
        self._principal = principal
        self._authorize = authorize
        self.request_id = request_id
        self.verified_at = asyncio.get_running_loop().time()

    async def renew(self, permits: Permits | None) -> None:
        """Raises what a new request with the same headers would be answered with."""
        principal = await self._authorize()
        if permits is not None and principal != self._principal:
            await permits(principal)
        self._principal = principal
