"""Agenthall: an agent server on your own Postgres, speaking the LangGraph API."""

from __future__ import annotations


def __getattr__(name: str) -> str:
    """`__version__`, read when asked for: importlib.metadata costs every process memory and time."""
    if name != "__version__":
        raise AttributeError(name)
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("agenthall")
    except PackageNotFoundError:  # a source tree that was never installed
        return "0.0.0"
