"""An instance that does nothing but live: registered over HTTP, kept alive by heartbeats."""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from robyn_server.core.errors import AgenthallError, Gone, NotFound, Unavailable

from .agents_http import Instance, Registry

_AGAIN_SECONDS = 2.0
"""Between attempts while the server is away; a lease lives several times as long."""

_EARLIEST = 0.85
"""A heartbeat comes after 85 to 100 % of the interval that the server dictates."""

Tell = Callable[[str], None]


def default_instance_id() -> str:
    return f"{socket.gethostname()[:200]}-{os.getpid()}"


class Kept:
    """`show` is given the instance whenever its status, health or epoch is another; `remark` a sentence when something goes wrong."""

    def __init__(
        self, registry: Registry, said: Mapping[str, Any], show: Callable[[Instance], None], remark: Tell
    ) -> None:
        self._registry = registry
        self._said = said
        self._show = show
        self._remark = remark
        self._shown: tuple[Any, ...] = ()
        self._id = self._key = ""
        self._epoch = 0
        self._interval = _AGAIN_SECONDS

    @contextmanager
    def registered(self) -> Iterator[None]:
        """Deregisters at the end, however that comes, if the server can be told."""
        self._register()
        try:
            yield
        finally:
            self._leave()

    def live(self) -> None:
        """Beat until somebody drains it. Raises Conflict when another process has taken its place, and what ends it otherwise."""
        while not self._is_draining():
            time.sleep(self._interval * random.uniform(_EARLIEST, 1.0))  # noqa: S311 - spreads load, and is no secret
            try:
                self._beat()
            except Unavailable as error:
                self._remark(f"{error}; trying again")
                self._interval = _AGAIN_SECONDS
        self._remark("drained, and nothing in hand: leaving")

    def _beat(self) -> None:
        try:
            self._interval = self._registry.beat(self._id, self._epoch)
        except (Gone, NotFound) as error:
            self._remark(f"{error} Registering again.")
            self._register()

    def _register(self) -> None:
        """Under one key until an answer has come: a lost one costs no epoch."""
        self._key = self._key or uuid4().hex
        registered = self._registry.register(self._said, self._key)
        self._key = ""
        self._id, self._epoch = registered["registration_id"], registered["epoch"]
        self._interval = float(registered["heartbeat_interval_seconds"])

    def _is_draining(self) -> bool:
        """What the server has of it is shown when it has changed."""
        try:
            instance = self._registry.get(self._id)
        except (Unavailable, NotFound):
            return False
        now = (instance["registration_status"], instance["health_status"], instance["epoch"])
        if now != self._shown:
            self._shown = now
            self._show(instance)
        return bool(instance["registration_status"] == "draining" and instance["epoch"] == self._epoch)

    def _leave(self) -> None:
        try:
            self._registry.deregister(self._id, self._epoch, "ended")
        except AgenthallError as error:
            self._remark(f"not deregistered, the lease ends by itself: {error}")
