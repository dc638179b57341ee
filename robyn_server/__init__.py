"""Agenthall: an agent server on your own Postgres, speaking the LangGraph API."""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path


def __getattr__(name: str) -> str:
    """Read `__version__` on first use: importlib.metadata costs memory and time."""
    if name != "__version__":
        raise AttributeError(name)
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("agenthall")
    except PackageNotFoundError:  # a source tree that was never installed
        return "0.0.0"


def _import_neighbour(name: str) -> None:
    """Import the package of ours that is in the same folder.

    A file of a project, whose folder comes first, may have its name.
    """
    spec = PathFinder.find_spec(name, [str(Path(__file__).parents[1])])
    if spec is None or spec.loader is None or name in sys.modules:
        return
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)


_import_neighbour("tools_agent")
