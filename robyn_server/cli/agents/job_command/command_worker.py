"""Claims jobs for an instance, and runs a command for each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from robyn_server.core.errors import AgenthallError

from .job_client import JobClient, Offer, Stopped
from .job_run import JobRun

_POLL_SECONDS = 10.0
"""How long the server may wait for a job before it answers."""

_STOP_SECONDS = 10.0

Warn = Callable[[str], None]


class CommandWorker:
    """`slots`: how many commands run at a time."""

    def __init__(self, client: JobClient, command: str, slots: int, warn: Warn) -> None:
        self._client = client
        self._command = command
        self._slots = slots
        self._warn = warn
        self._runs: dict[str, JobRun] = {}
        self._threads: set[threading.Thread] = set()
        self._changed = threading.Condition()
        self._is_claiming = True

    @contextmanager
    def running(self) -> Iterator[None]:
        """Claim jobs until the end of the block. Commands that run then are stopped, and their jobs handed back."""
        polling = threading.Thread(target=self._poll, name="agenthall.poll", daemon=True)
        polling.start()
        try:
            yield
        finally:
            self._stop()

    def stop_claiming(self) -> bool:
        """Claim no more jobs, and return whether all have ended."""
        with self._changed:
            self._is_claiming = False
            return not self._threads

    def _stop(self) -> None:
        self.stop_claiming()
        self._client.stop()
        runs = list(self._runs.values())
        for run in runs:
            with suppress(AgenthallError, Stopped):
                self._client.reject(run.job, "the instance was stopped")
        for run in runs:
            run.abandon()
        for thread in list(self._threads):
            thread.join(_STOP_SECONDS)

    # Params of the instance's own messages

    @property
    def registration(self) -> dict[str, Any]:
        return {"slots": self._slots, "jobs": [each["job_id"] for each in self.references]}

    @property
    def references(self) -> list[dict[str, Any]]:
        with self._changed:
            return [run.reference for run in self._runs.values()]

    def on_heartbeat(self, jobs: Sequence[Mapping[str, Any]]) -> None:
        for each in jobs:
            run = self._runs.get(str(each["job_id"]))
            if run is not None and each.get("cancel"):
                run.cancel()

    # Working

    def _poll(self) -> None:
        with suppress(Stopped):
            while self._is_claiming:
                with self._changed:
                    self._changed.wait_for(lambda: len(self._threads) < self._slots)
                    free = self._slots - len(self._threads)
                self._claim(free)

    def _claim(self, free: int) -> None:
        try:
            offers = self._client.claim(free, _POLL_SECONDS)
        except AgenthallError as error:
            self._warn(f"no jobs: {error}")
            self._client.wait()
            return
        for offer in offers:
            if self._is_claiming:
                self._start(offer)
            else:
                self._client.reject(offer, "the instance drains")

    def _start(self, offer: Offer) -> None:
        thread = threading.Thread(target=self._work_on, args=(offer,), name="agenthall.job", daemon=True)
        with self._changed:
            self._threads.add(thread)
        thread.start()

    def _work_on(self, offer: Offer) -> None:
        job_id = str(offer["job_id"])
        try:
            self._client.accept(offer)
            self._warn(f"job {job_id}: runs")
            self._warn(f"job {job_id}: {self._run(offer)}")
        except AgenthallError as error:
            self._warn(f"job {job_id}: lost: {error}")
        except Stopped:
            self._warn(f"job {job_id}: handed back")
        finally:
            with self._changed:
                self._runs.pop(job_id, None)
                self._threads.discard(threading.current_thread())
                self._changed.notify_all()

    def _run(self, offer: Offer) -> str:
        try:
            run = JobRun(self._client, offer, self._command)
        except OSError as error:
            self._client.finish(offer, 0, {"error": {"error": "command_failed", "message": str(error)}})
            return str(error)
        with self._changed:
            self._runs[str(offer["job_id"])] = run
        return run.run()
