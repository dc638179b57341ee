"""Run a command's function of `app` in this process."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

_HTTP_CLIENTS = ("web", "worker")
"""Processes that always import httpx."""


def run_process(name: str, *arguments: Any, **overrides: Any) -> Any:
    """Call `run_<name>` of a module of `app`, such as `web` or `operator.backup`, and return its result.

    `overrides` are settings by field name.
    """
    _import_without_rich("structlog", *(["httpx"] if name in _HTTP_CLIENTS else []))
    from robyn_server.projects import apply_project
    from robyn_server.settings import load_settings

    apply_project(os.environ, Path.cwd())
    module = import_module(f"robyn_server.app.{name}")
    return getattr(module, f"run_{name.rpartition('.')[2]}")(load_settings(**overrides), *arguments)


def _import_without_rich(*names: str) -> None:
    """Import modules that import rich and click where they can, for parts that no process of ours uses.

    A project may use them: structlog has them again before one is imported (`graphs/loading/imports.py`).

    structlog has tracebacks of rich, and httpx a command line. With them come pygments and attrs: together 6 MB of a
    process, and a quarter of the time of its imports.
    """
    hidden = [name for name in ("rich", "click") if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # as if it were not installed
    try:
        for name in names:
            import_module(name)
    finally:
        for name in hidden:
            del sys.modules[name]
