"""The directory in which the children of one `serve` store their metrics. See `metrics/store.py`, which is not imported
here.

Files are named `<kind>_<process>.db`. Gauges that end with their process are in files that begin with `gauge_live`;
removing those is all that prometheus-client's `mark_process_dead` does. The directory is locked for as long as its
supervisor lives. The next supervisor removes the directories of those that were killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

_PREFIX = "agenthall-metrics-"
_LOCK = "owner.lock"


class MetricsDirectory:
    """A context manager: creates an empty directory that only this account can read, and removes it at the end."""

    def __enter__(self) -> Self:
        _remove_stale()
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        temporary = self.path / "lock"  # renamed once it is locked
        self._lock = os.open(temporary, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        temporary.rename(self.path / _LOCK)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)

    def environment(self, process: str) -> dict[str, str]:
        return {"PROMETHEUS_MULTIPROC_DIR": str(self.path), "AGENTHALL_PROCESS": process}

    def remove_gauges(self, process: str) -> None:
        """Remove the gauges of a process that has ended. Its counters stay."""
        for file in self.path.glob(f"gauge_live*_{process}.db"):
            file.unlink(missing_ok=True)


def _remove_stale() -> None:
    for lock in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_LOCK}"):
        with contextlib.suppress(OSError):  # another account's, in use (BlockingIOError), or removed meanwhile
            descriptor = os.open(lock, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.parent, ignore_errors=True)
            finally:
                os.close(descriptor)
