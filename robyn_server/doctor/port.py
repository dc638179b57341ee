"""The port: is it free, and if not, is it one of ours that has it?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from robyn_server.core.errors import Misconfigured
from robyn_server.runtime.port import hold_port
from robyn_server.runtime.serving_address import Serving, find_serving, http_address

_SECONDS = 2.0


def check_port(host: str, port: int, data_dir: Path) -> str:
    """What is to be said of it. Raises Misconfigured when another program has it, or nobody could."""
    try:
        with hold_port(host, port) as held:
            number = held.getsockname()[1]
    except Misconfigured:
        if who := who_has(host, port, data_dir):
            return f"{port} on {host} is {who}"
        raise
    serving = find_serving(data_dir)
    return f"{number} on {host} is free" + (f"; {_named(serving)} answers at {serving.url}" if serving else "")


def who_has(host: str, port: int, data_dir: Path) -> str:
    """Who has a taken port, when that is an Agenthall; else nothing. One that starts or leaves holds it, and does not answer."""
    url = http_address(host, port)
    info = _answer(f"{url}/info")
    if isinstance(info, dict) and "sockets_url" in info:  # LangGraph's own server has no such field
        return f"served by an Agenthall {info.get('version', '')}".rstrip()
    if _answer(f"{url}/livez") == {"ok": True}:  # its sockets, or it is draining
        return "served by an Agenthall"
    serving = find_serving(data_dir)
    if serving is not None and serving.url.rpartition(":")[2] == str(port):
        return f"held by {_named(serving)}, which does not answer now"
    return ""


def _named(serving: Serving) -> str:
    return f"the `agenthall serve` of this data directory (pid {serving.pid})"


def _answer(url: str) -> Any:
    """What is there as JSON; None where it is none."""
    import httpx  # here: only a port that is taken needs it

    try:
        return httpx.get(url, timeout=_SECONDS, trust_env=False).json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return None
