"""GET /agents/watch, resumed after broken connections."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from robyn_server.cli.http.sse import sse_events
from robyn_server.core.errors import Unavailable

from .registry_http import RegistryClient

PATH = "/agents/watch"
LISTED = "listed"
_STATUSES = ("active", "draining")
_FIRST_PAUSE, _MAX_PAUSE = 0.2, 10.0
"""Seconds between attempts to reconnect."""


class InstanceWatcher:
    """Yields the current instances and their changes. It resumes from the position of the last event."""

    def __init__(
        self,
        registry: RegistryClient,
        filters: Mapping[str, Any],
        warn: Callable[[str], None],
        on_connected: Callable[[], None],
    ) -> None:
        self._registry = registry
        self._filters = filters
        self._warn = warn
        self._on_connected = on_connected
        self._position: str | None = None
        self._failures = 0

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield current instances (kind `listed`), then changes, without end.

        Errors of the first connection are raised.
        """
        while True:
            try:
                yield from self._stream()
            except Unavailable as error:
                if self._position is None:
                    raise
                self._warn(f"{error}; trying again")
            wait = min(_MAX_PAUSE, _FIRST_PAUSE * 2**self._failures)
            self._failures = min(self._failures + 1, 10)
            time.sleep(random.uniform(0, wait))  # noqa: S311 - spreads load, and is no secret

    def _stream(self) -> Iterator[dict[str, Any]]:
        headers = {} if self._position is None else {"last-event-id": self._position}
        with self._registry.lines(PATH, self._filters, headers) as lines:
            for kind, data, position in sse_events(lines):
                is_first, self._position = self._position is None, position or self._position
                if kind == "instance":
                    self._failures = 0
                    yield data
                elif kind == "compacted":
                    self._warn("events were missed and are no longer stored; these are the current instances")
                    yield from self._current()
                elif kind == "watching" and is_first:
                    self._on_connected()
                    yield from self._current()
                elif kind == "error":
                    raise Unavailable(str(data.get("message")))

    def _current(self) -> Iterator[dict[str, Any]]:
        for status in _STATUSES:
            for instance in self._registry.search({**self._filters, "status": status}):
                ids = {name: instance[name] for name in ("tenant_id", "agent_id", "registration_id")}
                yield {"position": int(self._position or 0), "kind": LISTED, **ids, "instance": instance, "at": None}


def follow(
    registry: RegistryClient,
    filters: Mapping[str, Any],
    warn: Callable[[str], None],
    on_connected: Callable[[], None],
) -> Iterator[dict[str, Any]]:
    """Yield events. `warn` is called with problems, `on_connected` at the first connection."""
    return InstanceWatcher(registry, filters, warn, on_connected).events()
