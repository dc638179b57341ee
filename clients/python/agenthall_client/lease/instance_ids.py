"""Instance ids that a restarted process finds again, and that no two processes use at once.

An id is `<host>-<12 hex digits>`. The digits are generated once and kept in a file that the process holds locked
while it runs. A second process of the same agent on this machine finds the first file locked and uses the second
file, and so on. A process that starts after another has died takes that file, and thereby its registration.

The files are in AGENTHALL_STATE_DIR, else $XDG_STATE_HOME/agenthall, else ~/.local/state/agenthall. Where no file can
be written (a read-only container) or locked (Windows), the digits are new for each process.
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
_MAX_FILES = 1000
_DIGITS = re.compile(rb"[0-9a-f]{12}")
_MAX_HOST_LENGTH = 200


@dataclass(slots=True)
class ClaimedInstanceId:
    """`release` frees it for another process, and so does the end of this one."""

    instance_id: str
    lock: FileIO | None = None

    def release(self) -> None:
        if self.lock is not None:
            self.lock.close()
            self.lock = None


def claim_instance_id(agent_id: str) -> ClaimedInstanceId:
    """Claim the first id of this agent on this machine that no other process uses."""
    host = socket.gethostname()[:_MAX_HOST_LENGTH] or "host"
    try:
        lock, digits = _lock_first_free(_state_directory(), hashlib.sha256(agent_id.encode()).hexdigest()[:16])
    except (OSError, ImportError, RuntimeError) as error:  # RuntimeError: no home directory
        _log.debug("cannot keep the instance_id in a file: %s", error)
        return ClaimedInstanceId(f"{host}-{uuid4().hex[:12]}")
    return ClaimedInstanceId(f"{host}-{digits}", lock)


def _state_directory() -> Path:
    if given := os.environ.get("AGENTHALL_STATE_DIR"):
        return Path(given)
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "agenthall"


def _lock_first_free(directory: Path, stem: str) -> tuple[FileIO, str]:
    """Raises OSError; ImportError where the platform has no `fcntl`."""
    from fcntl import LOCK_EX, LOCK_NB, flock

    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for number in range(_MAX_FILES):
        file = FileIO(os.open(directory / f"{stem}-{number}", os.O_RDWR | os.O_CREAT, 0o600), "r+")
        try:
            flock(file, LOCK_EX | LOCK_NB)
            return file, _read_or_write_digits(file)
        except BlockingIOError:
            file.close()
        except BaseException:
            file.close()
            raise
    raise OSError(f"{_MAX_FILES} processes of this agent hold instance ids in {directory}")


def _read_or_write_digits(file: FileIO) -> str:
    known = file.read(12) or b""
    if _DIGITS.fullmatch(known):
        return known.decode()
    generated = uuid4().hex[:12]
    file.seek(0)
    file.truncate()
    file.write(generated.encode())
    return generated
