"""Who is dialling in: the headers of the handshake."""

from __future__ import annotations

import inspect
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

TokenSource = Callable[[], str | Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Credentials:
    """`token`: a JWT, or what brings a fresh one: for each connection, and when the one in use is about to end. It may bring API keys
    as well. Secrets do not show in `repr`."""

    api_key: str | None = field(repr=False)
    token: str | TokenSource | None = field(repr=False)
    tenant_id: str | None

    @classmethod
    def found(cls, api_key: str | None, token: str | TokenSource | None, tenant_id: str | None) -> Credentials:
        """What is not given comes from AGENTHALL_API_KEY and AGENTHALL_TENANT. Raises ValueError for a key and a token."""
        if api_key is not None and token is not None:
            raise ValueError("name one of api_key and token")
        if api_key is None and token is None:
            api_key = os.environ.get("AGENTHALL_API_KEY") or None
        return cls(api_key, token, None if (given := _tenant(tenant_id)) is None else str(given))

    @property
    def are_renewed(self) -> bool:
        return callable(self.token)

    async def headers(self) -> dict[str, str]:
        headers = {"X-Organization-Id": self.tenant_id} if self.tenant_id else {}
        if self.api_key is not None:
            headers["X-API-Key"] = self.api_key
        elif self.token is not None:
            headers["Authorization"] = f"Bearer {await self._fresh()}"
        return headers

    async def auth(self) -> dict[str, str]:
        """The params of `auth`: fresher credentials for a socket that is open. Only where they are renewed."""
        return {"token": await self._fresh(), **({"tenant_id": self.tenant_id} if self.tenant_id else {})}

    async def _fresh(self) -> str:
        token = self.token() if callable(self.token) else self.token
        return await token if inspect.isawaitable(token) else str(token)


def _tenant(given: object) -> object:
    return given or os.environ.get("AGENTHALL_TENANT") or None
