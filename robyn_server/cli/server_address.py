"""Which server the commands that speak to a running one mean."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """`reason`: why this one, for whoever finds nobody there."""

    url: str
    reason: str


def server_address(url: str | None, data_dir: Path) -> ServerAddress:
    """`url` (--url, AGENTHALL_URL), else where the `serve` of `data_dir` answers if one lives, else what the settings say."""
    from robyn_server.runtime.serving_address import find_serving, http_address

    if url is not None:
        return ServerAddress(url, "as --url or AGENTHALL_URL says")
    where = data_dir.expanduser().absolute()
    if (serving := find_serving(data_dir)) is not None:
        return ServerAddress(serving.url, f"as the `agenthall serve` of {where}, pid {serving.pid}, has written there")
    host, port = os.environ.get("AGENTHALL_HOST") or "127.0.0.1", os.environ.get("AGENTHALL_PORT") or "2024"
    return ServerAddress(
        http_address(host, port),
        f"no `agenthall serve` runs in {where}, so by AGENTHALL_HOST and AGENTHALL_PORT or their defaults",
    )
