"""An instance that is registered over HTTP, and kept alive by heartbeats. It works on jobs if it has a command."""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any
from uuid import uuid4

from robyn_server.core.errors import AgenthallError, Gone, NotFound, Unavailable

from .job_command.command_worker import CommandWorker
from .job_command.job_client import JobClient, Reference
from .registry_http import Instance, RegistryClient

_RETRY_SECONDS = 2.0
"""Between attempts while the server is unavailable. A lease lasts several times as long."""

_MIN_SHARE = 0.85
"""A heartbeat is sent after 85 to 100 % of the interval that the server asks for."""

Warn = Callable[[str], None]


def default_instance_id() -> str:
    return f"{socket.gethostname()[:200]}-{os.getpid()}"


class RegisteredInstance:
    """Registers an instance and sends its heartbeats.

    Calls `show` when its status, health or epoch changes, and `warn` with problems. `command`: runs for each job, and
    `slots` of them at a time. None: the instance takes no jobs.
    """

    def __init__(
        self,
        registry: RegistryClient,
        fields: Mapping[str, Any],
        show: Callable[[Instance], None],
        warn: Warn,
        command: str | None = None,
        slots: int = 1,
    ) -> None:
        self._registry = registry
        self._fields = fields
        self._show = show
        self._warn = warn
        self._shown: tuple[Any, ...] = ()
        self._id = self._key = ""
        self._epoch = 0
        self._interval = _RETRY_SECONDS
        client = JobClient(registry, lambda: Reference(self._id, self._epoch))
        self._worker = None if command is None else CommandWorker(client, command, slots, warn)

    @contextmanager
    def registration(self) -> Iterator[None]:
        """Register and work on jobs, and deregister at the end if the server can be reached."""
        self._register()
        try:
            with nullcontext() if self._worker is None else self._worker.running():
                yield
        finally:
            self._deregister()

    def keep_alive(self) -> None:
        """Send heartbeats until the instance is drained. Raises Conflict if another process has replaced it."""
        while not (self._is_draining() and self._is_idle()):
            time.sleep(self._interval * random.uniform(_MIN_SHARE, 1.0))  # noqa: S311 - spreads load, and is no secret
            try:
                self._heartbeat()
            except Unavailable as error:
                self._warn(f"{error}; trying again")
                self._interval = _RETRY_SECONDS
        self._warn("drained, and without work: leaving")

    def _is_idle(self) -> bool:
        """Take no more jobs, and return whether all have ended."""
        return self._worker is None or self._worker.stop_claiming()

    def _heartbeat(self) -> None:
        try:
            jobs = None if self._worker is None else self._worker.references
            answer = self._registry.heartbeat(self._id, self._epoch, jobs)
        except (Gone, NotFound) as error:
            self._warn(f"{error} Registering again.")
            self._register()
            return
        self._interval = float(answer["heartbeat_interval_seconds"])
        if self._worker is not None:
            self._worker.on_heartbeat(answer.get("jobs") or ())

    def _register(self) -> None:
        """Register.

        The idempotency key stays the same until a response arrives, so a lost response does not change the epoch.
        """
        self._key = self._key or uuid4().hex
        jobs = {} if self._worker is None else self._worker.registration
        registration = self._registry.register({**self._fields, **jobs}, self._key)
        self._key = ""
        self._id, self._epoch = registration["registration_id"], registration["epoch"]
        self._interval = float(registration["heartbeat_interval_seconds"])

    def _is_draining(self) -> bool:
        """Return whether the server is draining the instance. Show the instance if it has changed."""
        try:
            instance = self._registry.get(self._id)
        except (Unavailable, NotFound):
            return False
        now = (instance["registration_status"], instance["health_status"], instance["epoch"])
        if now != self._shown:
            self._shown = now
            self._show(instance)
        return bool(instance["registration_status"] == "draining" and instance["epoch"] == self._epoch)

    def _deregister(self) -> None:
        try:
            self._registry.deregister(self._id, self._epoch, "ended")
        except AgenthallError as error:
            self._warn(f"not deregistered, so the lease will lapse: {error}")
