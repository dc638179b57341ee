"""GET /agents/watch, followed over broken connections."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson

from robyn_server.core.errors import Unavailable

from .agents_http import Registry

PATH = "/agents/watch"
LISTED = "listed"
_SHOWN = ("active", "draining")
_FIRST, _MOST = 0.2, 10.0
"""Seconds between attempts to come back."""


class Follower:
    """`position`: of the last event; from there it goes on."""

    def __init__(
        self,
        registry: Registry,
        wanted: Mapping[str, Any],
        remark: Callable[[str], None],
        begun: Callable[[], None],
    ) -> None:
        self._registry = registry
        self._wanted = wanted
        self._remark = remark
        self._begun = begun
        self._position: str | None = None
        self._failures = 0

    def events(self) -> Iterator[dict[str, Any]]:
        """What is there (kind `listed`), then what happens, without end. The first connection raises what it meets."""
        while True:
            try:
                yield from self._stream()
            except Unavailable as error:
                if self._position is None:
                    raise
                self._remark(f"{error}; trying again")
            wait = min(_MOST, _FIRST * 2**self._failures)
            self._failures = min(self._failures + 1, 10)
            time.sleep(random.uniform(0, wait))  # noqa: S311 - spreads load, and is no secret

    def _stream(self) -> Iterator[dict[str, Any]]:
        headers = {} if self._position is None else {"last-event-id": self._position}
        with self._registry.lines(PATH, self._wanted, headers) as lines:
            for kind, data, position in frames(lines):
                is_first, self._position = self._position is None, position or self._position
                if kind == "instance":
                    self._failures = 0
                    yield data
                elif kind == "compacted":
                    self._remark("events were missed for good; this is what is there now")
                    yield from self._listed()
                elif kind == "watching" and is_first:
                    self._begun()
                    yield from self._listed()
                elif kind == "error":
                    raise Unavailable(str(data.get("message")))

    def _listed(self) -> Iterator[dict[str, Any]]:
        for status in _SHOWN:
            for instance in self._registry.search({**self._wanted, "status": status}):
                ids = {name: instance[name] for name in ("tenant_id", "agent_id", "registration_id")}
                yield {"position": int(self._position or 0), "kind": LISTED, **ids, "instance": instance, "at": None}


def follow(
    registry: Registry,
    wanted: Mapping[str, Any],
    remark: Callable[[str], None],
    begun: Callable[[], None],
) -> Iterator[dict[str, Any]]:
    """`remark` is told what goes wrong on the way, `begun` when it is connected for the first time."""
    return Follower(registry, wanted, remark, begun).events()


def frames(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any], str | None]]:
    """(event, data, id) of a stream of Server-Sent Events. WHATWG HTML, section 9.2.6."""
    kind, position, data = "message", None, list[str]()
    for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line and data:
            yield kind, orjson.loads("\n".join(data)), position
        if not line:
            kind, position, data = "message", None, []
        elif name == "event":
            kind = value
        elif name == "id":
            position = value
        elif name == "data":
            data.append(value)
