"""Check of the proxy: whether one stands in front of an address of a network."""

from __future__ import annotations

import os
from collections.abc import Iterator

from robyn_server.core.urls.hosts import LOOPBACK
from robyn_server.doctor.check import Check, check
from robyn_server.supervisor.proxy.front import find_front


def proxy_checks(host: str) -> Iterator[Check]:
    """Yield nothing on loopback, which needs no proxy."""
    if host not in LOOPBACK or os.environ.get("AGENTHALL_DOMAIN"):
        yield check("proxy", lambda: _describe(host))


def _describe(host: str) -> str:
    """Raises Misconfigured as `serve` does."""
    front = find_front(host, os.environ)
    if front is None:
        return f"one of yours is in front of {host} (AGENTHALL_BEHIND_PROXY)"
    return f"`serve` starts {front.caddy} in front of {host}"
