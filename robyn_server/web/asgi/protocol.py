"""Types of ASGI 3."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

VERSIONS = {"version": "3.0", "spec_version": "2.3"}
"""With 2.3, Starlette listens for `http.disconnect` while it streams. From 2.4 on it would wait for an error of `send`,
and a stream that is silent would not end."""
LIFESPAN_VERSIONS = {"version": "3.0", "spec_version": "2.0"}
