"""Build the console: `console/` becomes `console/dist`, which the server serves at `/console`.

Needs Node. Takes the machine's, or that of the virtual environment, or installs the wheel of `node.lock` there. Does
nothing if the built console is that of the sources. A build replaces the folder as a whole, so that a running server
never serves half of one.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONSOLE = ROOT / "console"
DIST, NEW, OLD = (CONSOLE / name for name in ("dist", "dist.new", "dist.old"))
LOG = CONSOLE / "build.log"

_MARK = ".sources"
"""A file in the built folder with the digest of the sources that it was built from."""

_OUTSIDE = frozenset({"node_modules", DIST.name, NEW.name, OLD.name, LOG.name})
_INSTALL = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
_MIN_NODE = (20, 19)
_NICE = 15


class BuildFailed(Exception):
    """Why there is no console, in one line."""


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.build_console", description=__doc__)
    parser.add_argument("--background", action="store_true", help="return at once; a failure is one line on stderr")
    parser.add_argument("--optional", action="store_true", help="exit with 0 if it cannot be built")
    options = parser.parse_args(arguments)
    if options.background:
        if not _is_current():
            _start_in_background()
        return 0
    try:
        build()
    except BuildFailed as error:
        print(f"The console is not built: {error} The server works without it.", file=sys.stderr)
        return 0 if options.optional else 1
    return 0


def build() -> None:
    """Build unless the console is up to date. Raises BuildFailed."""
    with _locked():
        if _is_current():
            return
        sources = _sources_digest()
        environment = _environment()
        npm = _npm(environment)
        _install_packages(npm, environment)
        shutil.rmtree(NEW, ignore_errors=True)
        _run([npm, "run", "build"], environment | {"CONSOLE_OUT": NEW.name})
        (NEW / _MARK).write_text(sources)
        _replace()


def _is_current() -> bool:
    mark = DIST / _MARK
    return mark.is_file() and mark.read_text() == _sources_digest()


def _sources_digest() -> str:
    digest = hashlib.sha256()
    for path in sorted(_sources()):
        digest.update(path.relative_to(CONSOLE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _sources() -> Iterator[Path]:
    for each in CONSOLE.iterdir():
        if each.name not in _OUTSIDE:
            yield from [each] if each.is_file() else [path for path in each.rglob("*") if path.is_file()]


def _replace() -> None:
    shutil.rmtree(OLD, ignore_errors=True)
    if DIST.exists():
        DIST.rename(OLD)
    NEW.rename(DIST)
    shutil.rmtree(OLD, ignore_errors=True)


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """One build at a time: `make serve` may have started one."""
    with (CONSOLE / "package.json").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _environment() -> dict[str, str]:
    """This environment, with the programs of the virtual environment behind the machine's."""
    own = str(Path(sys.executable).parent)
    return {**os.environ, "PATH": os.pathsep.join([os.environ.get("PATH", os.defpath), own])}


def _npm(environment: dict[str, str]) -> str:
    """The path of npm, of a Node that is new enough. Raises BuildFailed."""
    if not _has_node(environment):
        _install_node()
        own = str(Path(sys.executable).parent)
        environment["PATH"] = os.pathsep.join([own, environment["PATH"]])
    npm = shutil.which("npm", path=environment["PATH"])
    if npm is None or not _has_node(environment):
        raise BuildFailed("there is no Node 20.19 or newer with npm.")
    return npm


def _has_node(environment: dict[str, str]) -> bool:
    node, npm = (shutil.which(name, path=environment["PATH"]) for name in ("node", "npm"))
    if node is None or npm is None:
        return False
    done = subprocess.run([node, "--version"], env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    found = re.match(r"v(\d+)\.(\d+)", done.stdout)
    return found is not None and (int(found[1]), int(found[2])) >= _MIN_NODE


def _install_node() -> None:
    """Put the Node of `node.lock` into the virtual environment. Raises BuildFailed."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is None:
        raise BuildFailed("there is no Node 20.19 or newer, and no uv that could install one.")
    environment = os.environ | {"VIRTUAL_ENV": sys.prefix}
    _run([uv, "pip", "install", "-q", "--require-hashes", "-r", str(ROOT / "node.lock")], environment)


def _install_packages(npm: str, environment: dict[str, str]) -> None:
    lock, installed = CONSOLE / "package-lock.json", CONSOLE / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        _run([npm, *_INSTALL], environment)


def _run(command: list[str], environment: dict[str, str]) -> None:
    """Run a program in `console/`. Raises BuildFailed, with the last line that it printed."""
    done = subprocess.run(  # noqa: S603 - our own commands
        command, cwd=CONSOLE, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    LOG.write_text(done.stdout + done.stderr)
    if done.returncode != 0:
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        name = Path(command[0]).name
        raise BuildFailed(f"{name} {command[1]} failed ({lines[-1][:160] if lines else 'without a word'}); see {LOG}.")


def _start_in_background() -> None:
    """Start this program beside the server. It inherits the terminal for its one line, and yields the processor."""
    subprocess.Popen(
        [sys.executable, "-m", "scripts.build_console", "--optional"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: os.nice(_NICE),  # noqa: PLW1509  only a system call
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
