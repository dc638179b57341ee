"""Storage of metrics: in this process alone or, under a supervisor, in a directory of files that all its processes
write to.

A process's files have its name (`AGENTHALL_PROCESS`: web-1, worker) and not its pid. A restarted process goes on
counting in the files of its predecessor, so restarts do not add files. Two live processes never share a name. Without a
name, files are named by pid, as prometheus-client does.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
PROCESS = "AGENTHALL_PROCESS"


@functools.cache
def own_registry() -> CollectorRegistry:
    """Return the registry of this process.

    Call it before the first metric is created: it chooses where values are stored.
    """
    from prometheus_client import CollectorRegistry, disable_created_metrics, values

    name = os.environ.get(PROCESS)
    if DIRECTORY in os.environ and name:
        values.ValueClass = values.MultiProcessValue(lambda: name)  # type: ignore[no-untyped-call]
    disable_created_metrics()  # type: ignore[no-untyped-call]
    return CollectorRegistry()


def whole_registry() -> CollectorRegistry:
    """Return a registry that collects the values of all processes of the directory, or of this process if there is
    none."""
    directory = os.environ.get(DIRECTORY)
    if not directory:
        return own_registry()
    from prometheus_client import CollectorRegistry

    registry = CollectorRegistry()
    registry.register(_MultiprocessCollector(Path(directory)))
    return registry


def answer_scrapes(host: str, port: int) -> None:
    """Answer scrapes on a port of its own, for a process that serves no HTTP.

    It asks for no credentials. Raises OSError.
    """
    from prometheus_client import start_http_server

    start_http_server(port, host, whole_registry())


class _MultiprocessCollector:
    def __init__(self, path: Path) -> None:
        self._path = path

    def collect(self) -> Iterable[Metric]:
        from prometheus_client.multiprocess import MultiProcessCollector

        # a process that has just created its file has not written to it yet
        files = [str(file) for file in self._path.glob("*.db") if _size(file)]
        found: Iterable[Metric] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
        return found


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # a gauge of a process that has just died
        return 0
