"""By what right a stream is open, to be asked for again while it is. The asking is `recheck.py`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from robyn_server.core.principal import Principal

from .http import Permits


class Standing:
    """By what right a stream is open. `verify` raises what a request with the same headers would be answered with."""

    __slots__ = ("_principal", "_verify", "looked_at", "request_id")

    def __init__(self, principal: Principal, verify: Callable[[], Awaitable[Principal]], request_id: str) -> None:
        self._principal = principal
        self._verify = verify
        self.request_id = request_id
        self.looked_at = asyncio.get_running_loop().time()

    async def renew(self, permits: Permits | None) -> None:
        principal = await self._verify()
        if permits is not None and principal != self._principal:
            await permits(principal)
        self._principal = principal
