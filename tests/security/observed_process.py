"""Measure the waits of another client, and the memory of the server, while a request is served."""

from __future__ import annotations

import contextlib
import http.client
import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import psutil

PAUSE = 0.004
"""Seconds between two requests of the other client, and between two looks at the memory."""


@dataclass(slots=True)
class Observation:
    """`waits`, `runs`: seconds of each request and of each run of the other client. `memory`: of each process, the
    largest resident size in bytes."""

    waits: list[float] = field(default_factory=list)
    runs: list[float] = field(default_factory=list)
    memory: dict[int, int] = field(default_factory=dict)


def p99(seconds: list[float]) -> float:
    ordered = sorted(seconds)
    return ordered[math.ceil(len(ordered) * 0.99) - 1]


@contextlib.contextmanager
def observe(port: int, pids: list[int]) -> Iterator[Observation]:
    """Send `GET /livez` and short runs one after another, and look at the processes, each in a thread of its own."""
    observation, stop = Observation(), threading.Event()
    processes = [psutil.Process(pid) for pid in pids]

    def ask(waits: list[float], *request: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        while not stop.wait(PAUSE):
            began = time.perf_counter()
            connection.request(*request)
            response = connection.getresponse()
            assert response.status == 200 and b"__error__" not in response.read()
            waits.append(time.perf_counter() - began)
        connection.close()

    def look() -> None:
        while not stop.wait(PAUSE):
            for process in processes:
                with contextlib.suppress(psutil.NoSuchProcess):
                    size = process.memory_info().rss
                    observation.memory[process.pid] = max(size, observation.memory.get(process.pid, 0))

    alive = partial(ask, observation.waits, "GET", "/livez")
    run = partial(ask, observation.runs, "POST", "/runs/wait", '{"assistant_id": "echo", "input": {"text": 1}}')
    with _threads(alive, run, look, stop=stop):
        yield observation


@contextlib.contextmanager
def _threads(*works: Callable[[], None], stop: threading.Event) -> Iterator[None]:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
