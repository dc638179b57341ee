"""Where the WebSockets are: said outright, or asked of the server.

`ws://` and `wss://` are taken as they are. For `http://` and `https://` the server is asked (GET /info, `sockets_url`).
"""

from __future__ import annotations

import asyncio
import json
import os
import urllib.request
from email.message import Message
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

from .closing import Again, verdict_of_status
from .errors import Refused

DEFAULT = "http://127.0.0.1:2024"
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Address:
    """Remembered until `forget`: a server that went away may come back on another port."""

    def __init__(self, url: str | None, *, seconds: float = 10.0) -> None:
        self.url = url or os.environ.get("AGENTHALL_URL") or DEFAULT
        if urlsplit(self.url).scheme not in {"ws", "wss", "http", "https"} or not urlsplit(self.url).hostname:
            raise ValueError(f"url: {self.url!r} is no ws, wss, http or https URL")
        self._seconds = seconds
        self._found: str | None = None

    async def sockets(self) -> str:
        """Raises Refused, Unauthenticated, Forbidden; Again while the server does not answer."""
        if self.url.startswith("ws"):
            return self.url
        if self._found is None:
            self._found = await asyncio.to_thread(self._ask)
        return self._found

    def forget(self) -> None:
        self._found = None

    def _ask(self) -> str:
        info = self._get(f"{self.url.rstrip('/')}/info")
        found = info.get("sockets_url") if isinstance(info, dict) else None
        if not isinstance(found, str):
            raise Refused(f"{self.url} does not say where its WebSockets are; name their URL", reason="no_sockets_url")
        return found

    def _get(self, url: str) -> Any:
        try:
            with _opener(url).open(url, timeout=self._seconds) as answer:
                return json.load(answer)
        except HTTPError as error:
            with error:
                raise verdict_of_status(error.code, f"{url} was refused", retry_after(error.headers)) from None
        except OSError as error:
            raise Again(f"{url} cannot be reached: {getattr(error, 'reason', error)}") from None
        except ValueError:
            raise Refused(f"{url} does not answer as an Agenthall server does", reason="no_server") from None


def _opener(url: str) -> urllib.request.OpenerDirector:
    """This machine is not reached through a proxy."""
    return urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if is_loopback(url) else []))


def is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in _LOOPBACK


def retry_after(headers: Message | Any) -> float:
    """Seconds; dates are not read. RFC 9110, section 10.2.3."""
    text = (headers or {}).get("Retry-After") or ""
    return min(float(text), 60.0) if text.isdigit() else 0.0
