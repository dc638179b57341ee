"""Credentials of the client, as handshake headers and as params of `auth`."""

from __future__ import annotations

import inspect
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

TokenSource = Callable[[], str | Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Credentials:
    """An API key or a token. `repr` hides both.

    `token`: a JWT (or an API key), or a function that returns one. The function is called for each connection and
    when the token in use is about to expire.
    """

    api_key: str | None = field(repr=False)
    token: str | TokenSource | None = field(repr=False)
    tenant_id: str | None

    @classmethod
    def from_arguments(cls, api_key: str | None, token: str | TokenSource | None, tenant_id: str | None) -> Credentials:
        """Default to AGENTHALL_API_KEY and AGENTHALL_TENANT. Raises ValueError for both a key and a token."""
        if api_key is not None and token is not None:
            raise ValueError("Pass only one of api_key and token.")
        if api_key is None and token is None:
            api_key = os.environ.get("AGENTHALL_API_KEY") or None
        return cls(api_key, token, tenant_id or os.environ.get("AGENTHALL_TENANT") or None)

    @property
    def can_refresh(self) -> bool:
        return callable(self.token)

    async def headers(self) -> dict[str, str]:
        headers = {"X-Organization-Id": self.tenant_id} if self.tenant_id else {}
        if self.api_key is not None:
            headers["X-API-Key"] = self.api_key
        elif self.token is not None:
            headers["Authorization"] = f"Bearer {await self._get_token()}"
        return headers

    async def auth_params(self) -> dict[str, str]:
        """Params of `auth`, which renews the credentials of an open connection. Only where `can_refresh`."""
        return {"token": await self._get_token(), **({"tenant_id": self.tenant_id} if self.tenant_id else {})}

    async def _get_token(self) -> str:
        token = self.token() if callable(self.token) else self.token
        return await token if inspect.isawaitable(token) else str(token)
