"""Run a command's function of `app` in this process."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any


def run_process(name: str, *arguments: Any, **overrides: Any) -> Any:
    """Call `run_<name>` of a module of `app`, such as `web` or `operator.backup`, and return its result.

    `overrides` are settings by field name.
    """
    from robyn_server.projects import apply_project
    from robyn_server.settings import load_settings

    apply_project(os.environ, Path.cwd())
    module = import_module(f"robyn_server.app.{name}")
    return getattr(module, f"run_{name.rpartition('.')[2]}")(load_settings(**overrides), *arguments)
