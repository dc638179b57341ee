"""The folder in which the children of one `serve` count together. See `metrics/store.py`; nothing of it is imported here.

Files are named `<kind>_<process>.db`. Those of gauges that go with their process begin with `gauge_live`: removing them is all that
prometheus-client's `mark_process_dead` does. The folder is locked as long as its supervisor lives; those that one left behind which
was killed are removed by the next.
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


class MetricsFolder:
    """A context: new and empty at its beginning, private to this account, and gone at its end."""

    def __enter__(self) -> Self:
        _remove_left_behind()
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        unseen = self.path / "lock"  # until it is locked
        self._lock = os.open(unseen, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        unseen.rename(self.path / _LOCK)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)

    def environment(self, process: str) -> dict[str, str]:
        return {"PROMETHEUS_MULTIPROC_DIR": str(self.path), "AGENTHALL_PROCESS": process}

    def forget(self, process: str) -> None:
        """It has died: its gauges go, its counts stay."""
        for file in self.path.glob(f"gauge_live*_{process}.db"):
            file.unlink(missing_ok=True)


def _remove_left_behind() -> None:
    for lock in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_LOCK}"):
        with contextlib.suppress(OSError):  # somebody else's, in use (BlockingIOError), or being removed by another
            held = os.open(lock, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.parent, ignore_errors=True)
            finally:
                os.close(held)
