"""Messages about jobs of one instance, over HTTP. Threads may share a client."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from robyn_server.cli.agents.registry_http import PATH, RegistryClient
from robyn_server.core.errors import AgenthallError, Conflict, Gone, NotFound, TooMany, Unavailable

JOBS = "/agents/jobs"
_RETRY_SECONDS = 0.5

Offer = Mapping[str, Any]


class Reference(NamedTuple):
    """The registration under which the instance speaks."""

    registration_id: str
    epoch: int


class Stopped(Exception):
    """The command line ends."""


class JobClient:
    """`reference` returns the registration of the moment.

    A message is sent again while the server is unavailable, and after the instance has registered again. Methods raise
    Stopped after `stop`, and AgenthallError: Conflict when the job is not this instance's any more.
    """

    def __init__(self, registry: RegistryClient, reference: Callable[[], Reference]) -> None:
        self._registry = registry
        self._reference = reference
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()

    def claim(self, max_jobs: int, wait_seconds: float) -> list[Offer]:
        """Wait for offers. None while the server is unavailable or the instance has to register again."""
        registration_id, epoch = self._reference()
        body = {"epoch": epoch, "max_jobs": max_jobs, "wait_seconds": wait_seconds}
        try:
            answer = self._registry.request("POST", f"{PATH}/{registration_id}/jobs/claim", json=body).json()
        except (Unavailable, TooMany, Conflict, Gone, NotFound):
            self.wait()
            return []
        offers: list[Offer] = answer["jobs"]
        return offers

    def accept(self, job: Offer) -> None:
        self._send(job, "accept", {})

    def reject(self, job: Offer, reason: str) -> None:
        self._send(job, "reject", {"reason": reason})

    def append_tokens(self, job: Offer, first_seq: int, tokens: Sequence[str]) -> None:
        events = [{"event": "token", "data": token} for token in tokens]
        self._send(job, "events", {"first_seq": first_seq, "events": events})

    def is_cancelled(self, job: Offer) -> bool:
        """Extend the lease of the job, and return whether it is to stop."""
        return bool(self._send(job, "extend", {})["cancel"])

    def finish(self, job: Offer, through_seq: int, end: Mapping[str, Any]) -> None:
        self._send(job, "finish", {"through_seq": through_seq, **end})

    def _send(self, job: Offer, action: str, body: Mapping[str, Any]) -> dict[str, Any]:
        while True:
            reference = self._reference()
            named = {**reference._asdict(), "attempt": job["attempt"], **body}
            try:
                answer: dict[str, Any] = self._registry.request(
                    "POST", f"{JOBS}/{job['job_id']}/{action}", json=named
                ).json()
            except AgenthallError as error:
                if not isinstance(error, (Unavailable, TooMany)) and reference == self._reference():
                    raise
                self.wait()
            else:
                return answer

    def wait(self) -> None:
        """Wait before another attempt. Raises Stopped."""
        if self._stopping.wait(_RETRY_SECONDS * random.uniform(0.5, 1.0)):  # noqa: S311 - spreads load, and is no secret
            raise Stopped
