"""Write a backup."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from robyn_server.core.errors import Conflict, Misconfigured, Unavailable

from . import SCHEMAS
from .processes import Messages, Progress, running
from .programs import ClientPrograms

WITHOUT_ROWS = frozenset({("agenthall", "crash_marks")})
"""Schema and name of tables of which no rows are saved: a restored database has lost what came later, as after a
crash."""

_STEPS = ("dumping contents of table",)
_MOST_JOBS = 4
_CONTENTS = "toc.dat"
"""The file that every archive in pg_dump's directory format has."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a backup goes. `is_folder`: as a directory, which several connections write at the same time."""

    path: Path
    is_folder: bool
    may_overwrite: bool = False

    @classmethod
    def parse(cls, text: str, *, may_overwrite: bool = False) -> Target:
        """Return the target that a user named: a directory if it ends with a slash or is one."""
        path = Path(text).expanduser().absolute()
        return cls(path, text.endswith("/") or path.is_dir(), may_overwrite)

    def check(self) -> None:
        """Raise Conflict if something would be lost, and Misconfigured if nothing can be written there."""
        if not self.path.parent.is_dir():
            raise Misconfigured(f"there is no directory {self.path.parent}")
        if self.is_folder:
            self._check_folder()
        elif self.path.exists() and not (self.may_overwrite and stat.S_ISREG(self.path.stat().st_mode)):
            raise Conflict(f"{self.path} exists; name another file, or overwrite it with --overwrite")

    def _check_folder(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise Conflict(f"{self.path} is no directory")
        if not self.path.is_dir() or not any(self.path.iterdir()):
            return
        if not (self.path / _CONTENTS).is_file():
            raise Conflict(f"{self.path} is a directory with other files; name a new one, such as {self.path}/backup/")
        if not self.may_overwrite:
            raise Conflict(f"{self.path} holds a backup; name another directory, or overwrite it with --overwrite")


def write_dump(
    target: Target,
    programs: ClientPrograms,
    environment: Mapping[str, str],
    progress: Progress,
    *,
    everything: bool,
    with_row_security: bool,
) -> None:
    """Write the backup, complete or not at all. `everything`: the whole database instead of the server's schemas.

    Raises Unavailable with pg_dump's reason.
    """
    target.check()
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{target.path.name}.", dir=target.path.parent))
    except OSError as error:
        raise Misconfigured(f"{target.path.parent} cannot be written ({error.strerror})") from None
    try:
        unfinished = folder / "backup"
        argv = [programs.program("pg_dump"), "--verbose", f"--file={unfinished}", *_format(target)]
        argv += [f"--exclude-table-data={schema}.{name}" for schema, name in WITHOUT_ROWS]
        argv += [] if everything else [f"--schema={schema}" for schema in SCHEMAS]
        argv += ["--enable-row-security"] if with_row_security else []
        _run(argv, environment, Messages(_STEPS, progress))
        target.check()
        _replace(target, unfinished, folder / "old")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _format(target: Target) -> list[str]:
    if not target.is_folder:
        return ["--format=custom"]
    return ["--format=directory", f"--jobs={min(_MOST_JOBS, os.cpu_count() or 1)}"]


def _run(argv: list[str], environment: Mapping[str, str], messages: Messages) -> None:
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    with running(argv, environment, stdin=nothing, stdout=nothing, stderr=pipe) as process:
        for line in process.stderr or ():
            messages.take(line.decode(errors="replace"))
        if process.wait() != 0:
            raise Unavailable(f"pg_dump failed, and no backup was written:\n{messages.failure}")


def _replace(target: Target, unfinished: Path, old: Path) -> None:
    if target.is_folder and target.path.exists():
        target.path.rename(old)
    unfinished.rename(target.path)
