"""An instance_id that a restarted process finds again, and that no two processes have at once.

`<host>-<12 hex digits>`: the digits are made once and kept in a file; the process holds a lock on that file as long as it lives. The next
process of the same agent on this machine finds the first file locked and takes the second, and so on. A process that starts after one
has died takes its file, and so its registration. Files are in AGENTHALL_STATE_DIR, else $XDG_STATE_HOME/agenthall, else
~/.local/state/agenthall. Where there is no such place (a read-only container, Windows), the digits are new for each process.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import socket
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from uuid import uuid4

_log = logging.getLogger("agenthall_client")
_MOST = 1000
_DIGITS = re.compile(rb"[0-9a-f]{12}")
_LONGEST_HOST = 200


@dataclass(slots=True)
class Name:
    """`release` frees it for another process; the end of this one does as well."""

    instance_id: str
    lock: FileIO | None = None

    def release(self) -> None:
        if self.lock is not None:
            self.lock.close()
            self.lock = None


def claim(agent_id: str) -> Name:
    """The first name of this agent on this machine that no other process has."""
    host = socket.gethostname()[:_LONGEST_HOST] or "host"
    try:
        lock, digits = _first_free(_folder(), hashlib.sha256(agent_id.encode()).hexdigest()[:16])
    except (OSError, ImportError, RuntimeError) as error:  # RuntimeError: no home directory
        _log.debug("the instance_id is not kept: %s", error)
        return Name(f"{host}-{uuid4().hex[:12]}")
    return Name(f"{host}-{digits}", lock)


def _folder() -> Path:
    if given := os.environ.get("AGENTHALL_STATE_DIR"):
        return Path(given)
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "agenthall"


def _first_free(folder: Path, stem: str) -> tuple[FileIO, str]:
    """Raises OSError, ImportError."""
    from fcntl import LOCK_EX, LOCK_NB, flock

    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for number in range(_MOST):
        file = FileIO(os.open(folder / f"{stem}-{number}", os.O_RDWR | os.O_CREAT, 0o600), "r+")
        try:
            flock(file, LOCK_EX | LOCK_NB)
            return file, _digits(file)
        except BlockingIOError:
            file.close()
        except BaseException:
            file.close()
            raise
    raise OSError(f"{_MOST} processes of this agent have names in {folder}")


def _digits(file: FileIO) -> str:
    """Those in the file, which is ours; made where there are none."""
    known = file.read(12) or b""
    if _DIGITS.fullmatch(known):
        return known.decode()
    made = uuid4().hex[:12]
    file.seek(0)
    file.truncate()
    file.write(made.encode())
    return made
