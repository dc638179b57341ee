"""Check of the port: whether it is free, or an Agenthall uses it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from robyn_server.core.errors import Misconfigured
from robyn_server.core.urls.hosts import local_url
from robyn_server.ports import hold_port
from robyn_server.supervisor.address_file import RunningServer, find_running_server

_SECONDS = 2.0


def check_port(host: str, port: int, data_dir: Path) -> str:
    """Describe the port. Raises Misconfigured if another program uses it, or if it cannot be used."""
    try:
        with hold_port(host, port) as bound:
            number = bound.getsockname()[1]
    except Misconfigured:
        if owner := describe_owner(host, port, data_dir):
            return f"{port} on {host} is {owner}"
        raise
    server = find_running_server(data_dir)
    return f"{number} on {host} is free" + (f"; {_process_text(server)} answers at {server.url}" if server else "")


def describe_owner(host: str, port: int, data_dir: Path) -> str:
    """Describe the owner of a taken port if it is an Agenthall; else return nothing.

    One that starts or stops does not answer.
    """
    url = local_url(host, port)
    info = _get_json(f"{url}/info")
    if isinstance(info, dict) and "sockets_url" in info:  # LangGraph's own server has no such field
        return f"served by an Agenthall {info.get('version', '')}".rstrip()
    if _get_json(f"{url}/livez") == {"ok": True}:  # its sockets, or it is draining
        return "served by an Agenthall"
    server = find_running_server(data_dir)
    if server is not None and server.url.rpartition(":")[2] == str(port):
        return f"held by {_process_text(server)}, which does not answer now"
    return ""


def _process_text(server: RunningServer) -> str:
    return f"the `agenthall serve` of this data directory (pid {server.pid})"


def _get_json(url: str) -> Any:
    """Return the JSON at `url`, or None."""
    import httpx  # here: only for a port that is taken

    try:
        return httpx.get(url, timeout=_SECONDS, trust_env=False).json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return None
