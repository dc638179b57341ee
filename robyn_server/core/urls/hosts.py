"""Hosts and addresses in URLs."""

from __future__ import annotations

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def local_host(host: str) -> str:
    """Return the host part of a URL with which clients on this machine reach a server that listens on `host`."""
    named = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"[{named}]" if ":" in named else named


def local_url(host: str, port: int | str) -> str:
    """Return the URL with which clients on this machine reach a server that listens on `host` and `port`."""
    return f"http://{local_host(host)}:{port}"
