"""Agenthall: an agent server on your own Postgres, speaking the LangGraph API."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("agenthall")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0.0.0"
