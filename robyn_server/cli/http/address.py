"""The address of the running server that commands use."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """`reason`: the origin of the URL, for the error if no server answers there."""

    url: str
    reason: str


def server_address(url: str | None, data_dir: Path) -> ServerAddress:
    """Return `url` (--url, AGENTHALL_URL), else the address of the live `serve` of `data_dir`, else the one of the
    settings."""
    from robyn_server.core.urls.hosts import local_url
    from robyn_server.supervisor.address_file import find_running_server

    if url is not None:
        return ServerAddress(url, "as --url or AGENTHALL_URL says")
    where = data_dir.expanduser().absolute()
    if (server := find_running_server(data_dir)) is not None:
        return ServerAddress(server.url, f"as the `agenthall serve` of {where}, pid {server.pid}, has written there")
    host, port = os.environ.get("AGENTHALL_HOST") or "127.0.0.1", os.environ.get("AGENTHALL_PORT") or "2024"
    return ServerAddress(
        local_url(host, port),
        f"no `agenthall serve` runs in {where}, so by AGENTHALL_HOST and AGENTHALL_PORT or their defaults",
    )
