"""`postmaster.pid` and the socket's lock file: their content, and when they are stale.

Lines of postmaster.pid (src/include/utils/pidfile.h): 1 pid, 2 data directory, 3 start time, 4 port,
5 socket directory, 6 listen address, 7 shared memory key, 8 status.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from robyn_server.core.urls.dsn import normalise_dsn

_STATUS_LINE = 8
_STOP_SECONDS = 30.0


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return []


def pid_in(path: Path) -> int | None:
    """Return the pid in the first line, or None."""
    lines = _lines(path)
    try:
        return abs(int(lines[0]))
    except (IndexError, ValueError):
        return None


def ready_pid(cluster: Path) -> int | None:
    """Return the pid of the postmaster if its status is ready."""
    path = cluster / "postmaster.pid"
    lines = _lines(path)
    says_ready = len(lines) >= _STATUS_LINE and lines[_STATUS_LINE - 1].strip() == "ready"
    return pid_in(path) if says_ready else None


def socket_folder(cluster: Path) -> str:
    return _lines(cluster / "postmaster.pid")[4]


def is_postmaster_of(pid: int, cluster: Path) -> bool:
    """Return whether process `pid` is a postmaster of this cluster."""
    command = _command_line(pid)
    return bool(command) and Path(command[0]).name == "postgres" and str(cluster) in command[1:]


def _command_line(pid: int) -> list[str]:
    if sys.platform == "linux":
        try:
            return [os.fsdecode(part) for part in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")]
        except OSError:
            return []
    done = subprocess.run(  # noqa: S603 - a fixed command and a number
        ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    program, _, rest = done.stdout.strip().partition(" -D ")
    return [program, rest.partition(" -c ")[0]] if rest else []


def stop_orphan(cluster: Path) -> int | None:
    """Stop a postmaster that outlived its owner. The caller holds the owner's lock. Return its pid, or None."""
    pid = pid_in(cluster / "postmaster.pid")
    if pid is None or not is_postmaster_of(pid, cluster):
        return None
    for number in (signal.SIGINT, signal.SIGQUIT):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        if _is_gone(pid, cluster):
            break
    return pid


def _is_gone(pid: int, cluster: Path) -> bool:
    deadline = time.monotonic() + _STOP_SECONDS
    while is_postmaster_of(pid, cluster):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def end_orphaned_children(cluster: Path) -> None:
    """End processes that a killed postmaster left behind. The caller holds the owner's lock, and runs no postmaster.

    One that executes a statement notices the death at its end. Until then its shared memory keeps a new postmaster from
    starting. Does nothing on macOS, which has no /proc.
    """
    for pid in _processes_in(cluster.resolve()):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGQUIT)  # at once and without a clean-up, as after the crash of one of them


def _processes_in(cluster: Path) -> Iterator[int]:
    """The processes of PostgreSQL that work in this directory."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or is somebody else's
            if (process / "cwd").readlink() == cluster and (process / "comm").read_text().strip() == "postgres":
                yield int(process.name)


def remove_stale(lock_file: Path, cluster: Path) -> None:
    """Remove a lock file whose pid now belongs to a process of another kind.

    PostgreSQL detects a dead pid. It does not detect a reused one, for instance after a container's restart, and
    refuses to start. In every other case the file stays: with it PostgreSQL finds backends that are attached to the old
    shared memory.
    """
    pid = pid_in(lock_file)
    if pid is not None and _is_alive(pid) and not is_postmaster_of(pid, cluster):
        lock_file.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def dsn_for(folder: str | Path, password: str) -> str:
    """Return the URL of the database behind the socket in `folder`."""
    return normalise_dsn(f"postgresql://postgres:{quote(password, safe='')}@/postgres?host={quote(str(folder))}")
