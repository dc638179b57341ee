"""Watch the files of a project for `agenthall dev`, and ask the supervisor to reload when one changes.

`python -m robyn_server.supervisor.watch_files LOG_FORMAT PATH…`: folders, of which every Python file counts, and single
files. It looks every second instead of asking the kernel for events, which do not arrive from mounted volumes, and
whose number is limited.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers.polling import PollingObserverVFS

from .output.log import SupervisorLog
from .readiness import announce_ready

POLL_SECONDS = 1

_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages", "venv"})


class ChangedFiles(FileSystemEventHandler):
    """Puts the path of each changed file that counts into `queue`."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.queue = SimpleQueue[str]()
        self._files = frozenset(map(str, files))

    def on_any_event(self, event: FileSystemEvent) -> None:
        for path in filter(None, (os.fsdecode(event.src_path), os.fsdecode(event.dest_path))):
            if not event.is_directory and (path.endswith(".py") or path in self._files):
                self.queue.put(path)


def list_directory(path: str | None) -> Iterator[os.DirEntry[str]]:
    """Yield what is in a folder, without environments, caches and hidden folders. A folder that is gone has nothing."""
    with contextlib.suppress(OSError), os.scandir(path) as entries:
        yield from (each for each in entries if not (each.is_dir() and _is_skipped(each.name)))


def _is_skipped(name: str) -> bool:
    return name.startswith(".") or name in _SKIPPED


def watch(log: SupervisorLog, paths: Sequence[Path]) -> None:
    """Signal the parent after each change, until this process ends."""
    changed = ChangedFiles([path for path in paths if path.is_file()])
    observer = PollingObserverVFS(stat=os.stat, listdir=list_directory, polling_interval=POLL_SECONDS)
    for folder in {path if path.is_dir() else path.parent for path in paths}:
        observer.schedule(changed, str(folder), recursive=folder in paths)
    observer.start()
    announce_ready()
    while True:
        names = _next(changed.queue)
        log.write(f"{', '.join(names)} changed; reloading")
        os.kill(os.getppid(), signal.SIGUSR1)


def _next(queue: SimpleQueue[str]) -> list[str]:
    """Wait for a change, and for the end of those that come with it, as a checkout of another branch makes many."""
    paths = {queue.get()}
    with contextlib.suppress(Empty):
        while True:
            paths.add(queue.get(timeout=POLL_SECONDS))
    names = sorted(Path(path).name for path in paths)
    return names if len(names) <= 3 else [*names[:2], f"{len(names) - 2} others"]  # noqa: PLR2004 - a line's worth


if __name__ == "__main__":
    watch(SupervisorLog(sys.argv[1]), [Path(each) for each in sys.argv[2:]])
