"""A thread and its runs: start one, follow it over broken connections, cancel it, resume it with answers."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx

from robyn_server.cli.http.api import ApiClient, Assistant
from robyn_server.cli.http.sse import COMMENT, split_lines, sse_events
from robyn_server.core.errors import NotFound, Unavailable

from .parts import Part, PartReader, Queued, error_text
from .questions import Question, questions

_ACTIVE = ("pending", "running")
_ATTEMPTS = 8
_FIRST_PAUSE, _MAX_PAUSE = 0.2, 5.0
"""Seconds between attempts to join a run again whose stream broke."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the last run ended.

    `asked`: open questions. `is_paused`: it stopped at a breakpoint. `error`: why it failed.
    """

    asked: tuple[Question, ...] = ()
    is_paused: bool = False
    error: str = ""


class Conversation:
    """A conversation with one assistant. Without a `thread_id`, the first run makes the thread."""

    def __init__(self, api: ApiClient, assistant: Assistant, thread_id: str | None = None) -> None:
        self._api = api
        self.assistant = assistant
        self.thread_id = thread_id or str(uuid4())
        self.has_begun = thread_id is not None
        self._run_id: str | None = None
        self._last_event_id: str | None = None
        self._was_taken = False

    def say(self, text: str) -> Iterator[Part]:
        return self._run({"input": {"messages": [{"role": "user", "content": text}]}})

    def answer(self, resumed: Mapping[str, Any]) -> Iterator[Part]:
        return self._run({"command": {"resume": dict(resumed)}})

    def go_on(self) -> Iterator[Part]:
        """Go on from a breakpoint."""
        return self._run({"input": None})

    def outcome(self) -> Outcome:
        """Return how the last run of the thread ended. Raises NotFound if there is no thread."""
        thread = self._api.thread(self.thread_id)
        error = thread.get("error")
        if thread["status"] == "error":
            return Outcome(error=error_text(error or {"error": "RunFailed"}))
        if thread["status"] != "interrupted":
            return Outcome()
        asked = tuple(questions(thread.get("interrupts") or {}))
        return Outcome(asked, is_paused=not asked and not error)

    def cancel(self) -> None:
        """Cancel the run, if it has not ended, and wait for its end."""
        run_id = self._run_id or self._newest_active()
        if run_id is None:
            return
        try:
            self._api.cancel_run(self.thread_id, run_id)
        except NotFound:
            return  # it ended in the meantime

    def _newest_active(self) -> str | None:
        """Return a run that the server has started although its answer did not arrive."""
        try:
            runs = self._api.runs(self.thread_id, limit=1)
        except NotFound:
            return None
        return next((str(run["run_id"]) for run in runs if run["status"] in _ACTIVE), None)

    def _run(self, fields: Mapping[str, Any]) -> Iterator[Part]:
        self._run_id = self._last_event_id = None
        self._was_taken = False
        body = {
            "assistant_id": self.assistant["assistant_id"],
            "stream_mode": ["messages-tuple"],
            "stream_resumable": True,
            "if_not_exists": "create",
            **fields,
        }
        reader = PartReader()
        failures = 0
        opening = self._api.start_run(self.thread_id, body)
        while True:
            try:
                for part in self._follow(opening, reader):
                    failures = 0
                    yield part
                if self._has_ended():
                    break
            except Unavailable:
                if self._run_id is None or failures >= _ATTEMPTS:
                    raise
            time.sleep(random.uniform(0, min(_MAX_PAUSE, _FIRST_PAUSE * 2**failures)))  # noqa: S311 - spreads load
            failures += 1
            opening = self._api.join_run(self.thread_id, str(self._run_id), self._last_event_id)
        yield from reader.rest()

    def _follow(self, opening: AbstractContextManager[httpx.Response], reader: PartReader) -> Iterator[Part]:
        with opening as response:
            self.has_begun = True
            self._run_id = response.headers["content-location"].rpartition("/")[2]
            for event, data, event_id in sse_events(split_lines(response.iter_bytes()), comments=True):
                self._last_event_id = event_id or self._last_event_id
                if event == COMMENT:
                    yield from self._queued()
                else:
                    self._was_taken |= event != "metadata"
                    yield from reader.read(event, data)

    def _queued(self) -> Iterator[Part]:
        """Yield a part, once, if the stream is silent because no worker has taken the run."""
        if not self._was_taken:
            self._was_taken = True
            if self._status() == "pending":
                yield Queued()

    def _status(self) -> str:
        return str(self._api.run(self.thread_id, str(self._run_id))["status"])

    def _has_ended(self) -> bool:
        """Return whether the run has ended: a server that stops closes streams, too."""
        return self._status() not in _ACTIVE
