"""The server's address, and the WebSocket URL behind it.

A `ws://` or `wss://` URL is used as it is. For `http://` and `https://`, `GET /info` of the server names the
WebSocket URL (`sockets_url`).
"""

from __future__ import annotations

import asyncio
import json
import os
import urllib.request
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

from agenthall_client.errors import Refused

from .close_policy import RetryConnection, error_for_status, parse_retry_after

DEFAULT_URL = "http://127.0.0.1:2024"
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class ServerAddress:
    """Resolves the WebSocket URL and remembers it until `forget`."""

    def __init__(self, url: str | None, *, timeout: float = 10.0) -> None:
        self.url = url or os.environ.get("AGENTHALL_URL") or DEFAULT_URL
        if urlsplit(self.url).scheme not in {"ws", "wss", "http", "https"} or not urlsplit(self.url).hostname:
            raise ValueError(f"url: {self.url!r} is not a ws, wss, http or https URL")
        self._timeout = timeout
        self._websocket_url: str | None = None

    async def websocket_url(self) -> str:
        """Raises Refused, Unauthenticated, Forbidden; RetryConnection while the server does not answer."""
        if self.url.startswith("ws"):
            return self.url
        if self._websocket_url is None:
            self._websocket_url = await asyncio.to_thread(self._request_websocket_url)
        return self._websocket_url

    def forget(self) -> None:
        """Resolve the URL again next time: a restarted server may listen on another port."""
        self._websocket_url = None

    def _request_websocket_url(self) -> str:
        info = self._get_json(f"{self.url.rstrip('/')}/info")
        found = info.get("sockets_url") if isinstance(info, dict) else None
        if not isinstance(found, str):
            raise Refused(
                f"{self.url} reports no WebSocket URL. Pass the ws:// or wss:// URL.", reason="no_sockets_url"
            )
        return found

    def _get_json(self, url: str) -> Any:
        try:
            with _url_opener(url).open(url, timeout=self._timeout) as response:
                return json.load(response)
        except HTTPError as error:
            with error:
                raise error_for_status(error.code, f"{url} was refused", parse_retry_after(error.headers)) from None
        except OSError as error:
            raise RetryConnection(f"{url} cannot be reached: {getattr(error, 'reason', error)}") from None
        except ValueError:
            raise Refused(f"{url} does not answer as an Agenthall server does", reason="no_server") from None


def _url_opener(url: str) -> urllib.request.OpenerDirector:
    # A proxy cannot reach the loopback addresses of this machine.
    return urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if is_loopback(url) else []))


def is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in _LOOPBACK
