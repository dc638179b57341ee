"""Where a running `serve` answers, told in its data directory, so that commands in other terminals find it.

Rules
  1. `serving.json` is locked (flock) by the `serve` that wrote it. One that nobody holds was left behind by a server that was
     killed, and says nothing: the kernel frees the lock with its process, while a pid may be somebody else's by then.
  2. Only a file of one's own account, or of root's, is believed: whoever else could write here would be sent API keys.
  3. Of several servers in one directory (each with a DATABASE_URL) the one that was started last is told.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

_NAME = "serving.json"


@dataclass(frozen=True, slots=True)
class Serving:
    """`url`: of HTTP, for clients on this machine. `pid`: of the `serve`."""

    url: str
    pid: int


def http_address(host: str, port: int | str) -> str:
    """Where clients on this machine reach what listens on `host`."""
    named = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://{f'[{named}]' if ':' in named else named}:{port}"


@contextlib.contextmanager
def announced(data_dir: Path, serving: Serving) -> Iterator[None]:
    """Inside, others find `serving`. Raises OSError where nothing can be written."""
    root = data_dir.expanduser().absolute()
    with _present(root):
        unseen = root / f"{_NAME}.{os.getpid()}"
        held = os.open(unseen, os.O_CREAT | os.O_RDWR | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            os.write(held, json.dumps(asdict(serving)).encode())
            unseen.rename(root / _NAME)  # whole and locked from the first look
            yield
        finally:
            _remove(root / _NAME, held)
            os.close(held)


def find_serving(data_dir: Path) -> Serving | None:
    """The `serve` of this directory that lives, whether or not it answers already."""
    try:
        with (data_dir.expanduser() / _NAME).open() as file:
            found = json.load(file) if _is_believed(file.fileno()) else None
            return None if found is None else Serving(str(found["url"]), int(found["pid"]))
    except (OSError, ValueError, KeyError, TypeError):  # none, not for our eyes, or not a file of ours
        return None


@contextlib.contextmanager
def _present(root: Path) -> Iterator[None]:
    """With a DATABASE_URL there need be no data directory: one made for this alone goes with it."""
    is_new = not root.exists()
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # not empty
            if is_new:
                root.rmdir()


def _is_believed(descriptor: int) -> bool:
    if os.fstat(descriptor).st_uid not in {os.geteuid(), 0}:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _remove(path: Path, held: int) -> None:
    """Unless a server that was started later has put its own there."""
    with contextlib.suppress(OSError):
        if os.path.samestat(path.stat(), os.fstat(held)):
            path.unlink()
