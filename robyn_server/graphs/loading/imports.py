"""Import an object that a project names: `module:name` or `path/to/file.py:name`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

import structlog

from robyn_server.logs import OURS


def import_object(path: str, module_name: str) -> Any:
    """Return the object.

    A file becomes the module `module_name`. Raises whatever its code raises, SystemExit included.
    """
    where, _, name = path.rpartition(":")
    if where.partition(".")[0] not in OURS:
        _show_rich_to_structlog()
    module = _module_from_file(module_name, Path(where)) if where.endswith(".py") else importlib.import_module(where)
    return getattr(module, name)


def _module_from_file(module_name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ImportError(f"no such file: {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _show_rich_to_structlog() -> None:
    """Let structlog import rich, which `cli/process.py` hides from it: the project may log with tracebacks of rich."""
    for module in (structlog.tracebacks, structlog.dev):
        if module.rich is None:
            importlib.reload(module)
