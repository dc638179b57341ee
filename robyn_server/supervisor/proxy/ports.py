"""The ports of one `serve`, held for as long as it runs."""

from __future__ import annotations

import socket
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass

from robyn_server.ports import hold_port

INSIDE = "127.0.0.1"
"""Where the server's processes listen behind the proxy."""


@dataclass(frozen=True, slots=True)
class Ports:
    """`public`: where clients connect; without a proxy the web's. `redirect` and `length`: as in ProxyOptions."""

    web: int
    sockets: int
    public: int
    redirect: int = 0
    length: int = 0


def hold_web_port(public: socket.socket, *, is_proxied: bool) -> AbstractContextManager[socket.socket]:
    """Hold a port of loopback behind the proxy; without one the web processes listen on the public port."""
    return hold_port(INSIDE, 0) if is_proxied else nullcontext(public)


def hold_proxy_ports(closing: ExitStack, host: str, redirect_port: int | None) -> tuple[int, int]:
    """Hold the ports that only the proxy has until `closing` closes: of redirects (0: none) and of lengths."""
    length = closing.enter_context(hold_port(INSIDE, 0)).getsockname()[1]
    if redirect_port is None:
        return 0, length
    closing.enter_context(hold_port(host, redirect_port, setting="AGENTHALL_REDIRECT_PORT"))
    return redirect_port, length
