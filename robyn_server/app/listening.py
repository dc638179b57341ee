"""The address that a process listens on."""

from __future__ import annotations

from robyn_server.core.errors import Misconfigured
from robyn_server.core.urls.hosts import LOOPBACK
from robyn_server.settings import Settings


def check_listening(settings: Settings) -> None:
    """Raises Misconfigured for an address at which clients reach the process without a proxy.

    One malformed chunk aborts a web process, and it has no deadlines.
    """
    if settings.host not in LOOPBACK and not settings.behind_proxy:
        raise Misconfigured(
            f"this process must not face a network, as AGENTHALL_HOST={settings.host} would have it: a malformed request"
            " could abort it. Use `agenthall serve`, which starts a proxy in front; or set AGENTHALL_BEHIND_PROXY=1 if only"
            " a proxy of your own reaches this address",
            field="AGENTHALL_HOST",
        )
