"""Where an MCP server is and as whom it is asked. This value is the pool's key: sessions are shared within it, never across."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from urllib.parse import urlsplit, urlunsplit

import httpx
from langchain_mcp_adapters.sessions import StreamableHttpConnection
from mcp.client.session import MessageHandlerFnT
from pydantic import SecretStr

from tools_agent.errors import ServerUnavailable
from tools_agent.limits import Limits
from tools_agent.notices import public_url

EVENT_STREAM_SILENCE = 300.0
"""Seconds that the server's own event stream may be silent. A call has its own, shorter, timeout."""


@dataclass(frozen=True, slots=True)
class ServerAccess:
    """`headers` are the credentials. They are compared as they are, not hashed, and never printed."""

    url: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @property
    def shown(self) -> str:
        return public_url(self.url)


def server_access(url: str, token: SecretStr | None = None) -> ServerAccess:
    """The access to `url` as the bearer of `token`. Raises ServerUnavailable for what is no HTTP address."""
    headers = (("Authorization", f"Bearer {token.get_secret_value()}"),) if token else ()
    return ServerAccess(endpoint(url), headers)


def endpoint(url: str) -> str:
    """`url` with /mcp for an empty path; any other path as it is. (RFC 3986, 6.2.3: for http, "/" is the empty path.)

    Raises ServerUnavailable: other transports are not offered. A catalogue row could start programs through stdio.
    """
    try:
        parts = urlsplit(url.strip())
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ServerUnavailable("its address is no http:// or https:// URL")
    return urlunsplit(parts._replace(path="/mcp")) if parts.path in {"", "/"} else url.strip()


def connection(access: ServerAccess, limits: Limits, on_message: MessageHandlerFnT) -> StreamableHttpConnection:
    """What MultiServerMCPClient wants to know. A fresh dict each time, for the adapters write into it."""
    return {
        "transport": "streamable_http",
        "url": access.url,
        "headers": dict(access.headers),
        "timeout": limits.connect,
        "sse_read_timeout": max(EVENT_STREAM_SILENCE, limits.read),
        "httpx_client_factory": _http_client,
        "session_kwargs": {"read_timeout_seconds": timedelta(seconds=limits.read), "message_handler": on_message},
    }


@cache
def _ssl_context() -> ssl.SSLContext:
    """Loading the certificates takes 32 ms, so all clients share one context."""
    return httpx.create_ssl_context()


def _http_client(
    headers: dict[str, str] | None = None, timeout: httpx.Timeout | None = None, auth: httpx.Auth | None = None
) -> httpx.AsyncClient:
    # trust_env off: ~/.netrc would send the operator's passwords to any host that a catalogue row names
    return httpx.AsyncClient(headers=headers, timeout=timeout, auth=auth, verify=_ssl_context(), trust_env=False)
