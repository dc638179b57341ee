"""The address of a running `serve`, in a file of its data directory, where commands in other terminals find it.

Rules
  1. The `serve` that wrote `serving.json` holds a lock on it (flock), which the kernel releases with the process. A
     file without a lock is a leftover of a server that was killed, and is ignored. A pid would not do: it may be
     reused.
  2. Only a file of the same account or of root is used, because commands send API keys to the address.
  3. If several servers use one directory (each with a DATABASE_URL), the file names the one that was started last.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

_NAME = "serving.json"


@dataclass(frozen=True, slots=True)
class RunningServer:
    """`url`: for HTTP clients on this machine. `pid`: of the `serve`.

    `settings`: the variables that `doctor` needs, as the server's processes have them, without secrets. `keys`: names
    of the API keys of model providers that they have.
    """

    url: str
    pid: int
    settings: Mapping[str, str] = field(default_factory=dict)
    keys: Sequence[str] = ()


@contextlib.contextmanager
def published_address(data_dir: Path, server: RunningServer) -> Iterator[None]:
    """Publish the address of `server` while the context is open. Raises OSError if the directory cannot be written."""
    root = data_dir.expanduser().absolute()
    with _existing_directory(root):
        temporary = root / f"{_NAME}.{os.getpid()}"
        descriptor = os.open(temporary, os.O_CREAT | os.O_RDWR | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            os.write(descriptor, json.dumps(asdict(server)).encode())
            temporary.rename(root / _NAME)  # readers see a complete and locked file
            yield
        finally:
            _remove(root / _NAME, descriptor)
            os.close(descriptor)


def find_running_server(data_dir: Path) -> RunningServer | None:
    """Return the live `serve` of this directory, whether or not it answers yet."""
    try:
        with (data_dir.expanduser() / _NAME).open() as file:
            found = json.load(file) if _is_valid(file.fileno()) else None
            return None if found is None else _parse(found)
    except (OSError, ValueError, KeyError, TypeError):  # absent, unreadable or malformed
        return None


def _parse(found: dict[str, Any]) -> RunningServer:
    url, pid = str(found["url"]), int(found["pid"])
    settings = {str(name): str(value) for name, value in dict(found.get("settings", {})).items()}
    return RunningServer(url, pid, settings, tuple(str(key) for key in found.get("keys", ())))


@contextlib.contextmanager
def _existing_directory(root: Path) -> Iterator[None]:
    """Create the directory if it is absent, as it may be with a DATABASE_URL.

    Remove it at the end if it was created here.
    """
    is_new = not root.exists()
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # not empty
            if is_new:
                root.rmdir()


def _is_valid(descriptor: int) -> bool:
    if os.fstat(descriptor).st_uid not in {os.geteuid(), 0}:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _remove(path: Path, descriptor: int) -> None:
    """Remove the file, unless a server that was started later has replaced it."""
    with contextlib.suppress(OSError):
        if os.path.samestat(path.stat(), os.fstat(descriptor)):
            path.unlink()
