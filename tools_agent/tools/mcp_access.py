"""URL and credentials of an MCP server: the key of the session pool. Different keys never share a session."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from urllib.parse import urlsplit, urlunsplit

import httpx
from langchain_mcp_adapters.sessions import StreamableHttpConnection
from mcp.client.session import MessageHandlerFnT

from tools_agent.credentials import ServerCredential
from tools_agent.errors import ServerUnavailable
from tools_agent.limits import Limits, current_limits
from tools_agent.transports import new_transport

from .mcp_answers import ReadableAnswers
from .mcp_transport import BoundedTransport

EVENT_STREAM_SILENCE = 300.0
"""Seconds that the server's event stream may be silent. A call has a shorter timeout."""


@dataclass(frozen=True, slots=True)
class ServerAccess:
    """`headers` are the credentials. They are compared, not hashed, and `repr` hides them.

    `user`: of the run. A session may keep state of its user, so that two users share none, whatever they send.
    """

    url: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    user: str = ""


def server_access(url: str, credential: ServerCredential | None = None, user: str = "") -> ServerAccess:
    """Return the access to `url` with a credential. Raises ServerUnavailable unless it is an HTTP URL."""
    headers = ((credential.header, credential.value.get_secret_value()),) if credential else ()
    return ServerAccess(endpoint(url), headers, user)


def endpoint(url: str) -> str:
    """Replace an empty path by /mcp. (RFC 3986, 6.2.3: for http, "/" is the empty path.)

    Raises ServerUnavailable for other transports: through stdio, a catalogue row could start programs.
    """
    try:
        parts = urlsplit(url.strip())
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ServerUnavailable("its address is not an http:// or https:// URL")
    return urlunsplit(parts._replace(path="/mcp")) if parts.path in {"", "/"} else url.strip()


def connection(access: ServerAccess, limits: Limits, on_message: MessageHandlerFnT) -> StreamableHttpConnection:
    """Return the connection for MultiServerMCPClient: a new dict each time, because the adapters modify it."""
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
    # loading the certificates takes 32 ms, so all clients share one context
    return httpx.create_ssl_context()


def _http_client(
    headers: dict[str, str] | None = None, timeout: httpx.Timeout | None = None, auth: httpx.Auth | None = None
) -> httpx.AsyncClient:
    # trust_env off, or ~/.netrc would send the operator's passwords to any host that a catalogue row names
    bounded = BoundedTransport(new_transport(_ssl_context()), current_limits().answer_bytes)
    transport = ReadableAnswers(bounded)
    return httpx.AsyncClient(headers=headers, timeout=timeout, auth=auth, transport=transport, trust_env=False)
