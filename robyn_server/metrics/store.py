"""Where the numbers are: in this process alone, or, under a supervisor, in files of a folder that all its processes write to.

A process's files bear its name (`AGENTHALL_PROCESS`: web-1, worker) and not its pid. One that is started again goes on counting
in the files of the one before, so they do not grow in number with every restart; two living processes never share a name.
Without a name, the folder that an operator gave is used as prometheus-client does, by pid.
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

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
PROCESS = "AGENTHALL_PROCESS"


@functools.cache
def own_registry() -> CollectorRegistry:
    """That of this process. To be called before the first instrument is made: it chooses where values live."""
    from prometheus_client import CollectorRegistry, disable_created_metrics, values

    name = os.environ.get(PROCESS)
    if FOLDER in os.environ and name:
        values.ValueClass = values.MultiProcessValue(lambda: name)  # type: ignore[no-untyped-call]
    disable_created_metrics()  # type: ignore[no-untyped-call]
    return CollectorRegistry()


def whole_registry() -> CollectorRegistry:
    """A registry that collects what all processes of the folder have counted, or this one where there is none."""
    folder = os.environ.get(FOLDER)
    if not folder:
        return own_registry()
    from prometheus_client import CollectorRegistry

    registry = CollectorRegistry()
    registry.register(_Folder(Path(folder)))
    return registry


def answer_scrapes(host: str, port: int) -> None:
    """On a port of its own, for a process that serves no HTTP: whoever reaches it reads all numbers. Raises OSError."""
    from prometheus_client import start_http_server

    start_http_server(port, host, whole_registry())


class _Folder:
    def __init__(self, path: Path) -> None:
        self._path = path

    def collect(self) -> Iterable[Metric]:
        from prometheus_client.multiprocess import MultiProcessCollector

        # an empty file is that of a process that is just making it
        files = [str(file) for file in self._path.glob("*.db") if _size(file)]
        found: Iterable[Metric] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
        return found


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # a gauge of a process that has just died
        return 0
