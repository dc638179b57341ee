"""Agenthall: an agent server on your own Postgres, speaking the LangGraph API."""

from __future__ import annotations


def __getattr__(name: str) -> str:
    """Read `__version__` on first use: importlib.metadata costs memory and time."""
    if name != "__version__":
        raise AttributeError(name)
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("agenthall")
    except PackageNotFoundError:  # a source tree that was never installed
        return "0.0.0"
