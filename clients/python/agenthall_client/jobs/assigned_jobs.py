"""The jobs that an instance has: those that are offered to it, and those that it works on."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from agenthall_client.errors import ClientError
from agenthall_client.lease.lease import Lease

from . import ends
from .job import Job
from .messenger import JobMessenger

MOST_NAMED = 400
"""Jobs that fit into a heartbeat. Three heartbeats fit into the lease of a job."""

_log = logging.getLogger("agenthall_client")


class AssignedJobs:
    """`slots`: how many jobs the instance takes at a time; None: no jobs."""

    def __init__(self, slots: int | None, lease: Lease, messenger: JobMessenger) -> None:
        self._slots = slots
        self._lease = lease
        self._messenger = messenger
        self._jobs: dict[str, Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: deque[Job] = deque()
        self._early: list[tuple[str, Mapping[str, Any]]] = []
        """Notifications that came before the answer to the registration that they are about."""
        self._changed = asyncio.Event()
        self._named = 0
        self._is_taking = True
        self._has_taker = False
        self._final_error: ClientError | None = None

    # The program

    async def take(self) -> Job | None:
        """Wait for a job. None: no more will come. Raises the final error of the instance."""
        self._has_taker = True
        while not self._waiting:
            if self._final_error is not None:
                raise self._final_error
            if not self._is_taking:
                return None
            self._changed.clear()
            await self._changed.wait()
        return self._waiting.popleft()

    def stop_taking(self) -> None:
        """Reject further offers."""
        self._is_taking = False
        self._changed.set()

    async def flush(self, seconds: float) -> None:
        """Wait until the ends that the program reported have reached the server."""
        ending = [
            asyncio.create_task(job.reporter.ended.wait()) for job in self._jobs.values() if not job.reporter.is_open
        ]
        if ending:
            await asyncio.wait(ending, timeout=seconds)

    def stop(self, error: ClientError) -> None:
        """Give up all jobs."""
        self._final_error = self._final_error or error
        self.stop_taking()
        for job in list(self._jobs.values()):
            job.reporter.lose(str(error))
        for task in self._tasks:
            task.cancel()

    # Params of the instance's own messages

    def registration(self) -> dict[str, Any]:
        return {} if self._slots is None else {"slots": self._slots, "jobs": list(self._jobs)}

    def heartbeat(self) -> dict[str, Any]:
        """Name the running jobs; when there are many, some with each heartbeat."""
        running = [job.reporter.reference for job in self._jobs.values() if job.reporter.accepted.is_set()]
        self._named = self._named if self._named < len(running) else 0
        named = running[self._named : self._named + MOST_NAMED]
        self._named += MOST_NAMED
        return {"jobs": named} if named else {}

    # Messages of the server

    def on_registered(self, result: Mapping[str, Any]) -> None:
        """Rule 4."""
        continued = {(each["job_id"], each["attempt"]): each for each in result.get("jobs") or ()}
        for job in list(self._jobs.values()):
            found = continued.get((job.job_id, job.attempt))
            if found is None:
                job.reporter.lose("it did not go on when the instance registered again")
                continue
            job.reporter.resume(int(found["applied_through"]))
            if found.get("cancel"):
                self._cancel(job, "cancelled")
        early, self._early = self._early, []
        for method, params in early:
            self.on_notification(method, params)

    def on_heartbeat(self, result: Mapping[str, Any]) -> None:
        for each in result.get("jobs") or ():
            job = self._find(each)
            if job is not None and each.get("outcome") == "fenced":
                job.reporter.lose("a heartbeat was fenced")
            elif job is not None and each.get("cancel"):
                self._cancel(job, "cancelled")

    def on_notification(self, method: str, params: Mapping[str, Any]) -> None:
        handle: Callable[[Mapping[str, Any]], None] | None = {
            "job.offer": self._on_offer,
            "job.cancel": self._on_cancel,
            "job.lost": self._on_lost,
        }.get(method)
        if handle is None:
            return
        if not self._lease.settled.is_set():
            self._early.append((method, params))
        elif self._lease.is_current(params):
            handle(params)

    def _on_offer(self, params: Mapping[str, Any]) -> None:
        job = Job(params["job"], self._messenger, lambda: self._has_taker)
        known = self._jobs.get(job.job_id)
        if known is not None and known.attempt == job.attempt:
            return
        if known is not None:
            known.reporter.lose("it was offered again")
        self._jobs[job.job_id] = job
        self._start(job)
        if self._is_taking:
            self._waiting.append(job)
            self._changed.set()
        else:
            job.reporter.finish(ends.handed_back("the instance drains"))

    def _start(self, job: Job) -> None:
        task = asyncio.create_task(job.reporter.run(), name=f"agenthall.job.{job.job_id}")
        self._tasks.add(task)

        def forget(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if job in self._waiting:
                self._waiting.remove(job)
            if self._jobs.get(job.job_id) is job:
                del self._jobs[job.job_id]

        task.add_done_callback(forget)

    def _on_cancel(self, params: Mapping[str, Any]) -> None:
        job = self._find(params)
        if job is not None:
            self._cancel(job, str(params.get("reason") or "cancelled"))

    def _cancel(self, job: Job, reason: str) -> None:
        if job in self._waiting:
            self._waiting.remove(job)
            job.reporter.finish(ends.cancelled())
        else:
            job.reporter.cancel(reason)

    def _on_lost(self, params: Mapping[str, Any]) -> None:
        job = self._find(params)
        if job is not None:
            job.reporter.lose(str(params.get("reason") or "the server gave it to another instance"))

    def _find(self, params: Mapping[str, Any]) -> Job | None:
        job = self._jobs.get(str(params.get("job_id")))
        return job if job is not None and job.attempt == params.get("attempt") else None
