"""Reports one job to the server: its acceptance, its events, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any

from agenthall_client.connection.json_text import join_items, join_members
from agenthall_client.errors import ClientError, Closed, JobCancelled, JobLost, Refused

from . import ends
from .ends import JobEnd
from .messenger import JobMessenger
from .outbox import MAX_BYTES, EventOutbox
from .request import JobRequest

EVENTS = frozenset({"token", "messages", "values", "updates", "custom"})
COALESCE_SECONDS = 0.02
"""Between two messages with events of one job."""

_log = logging.getLogger("agenthall_client")


class JobReporter:
    """`run` sends until the server has acknowledged the end, or the job is lost.

    `has_taker`: whether the program takes jobs. `on_stop` is called when the program is to stop the job.
    """

    def __init__(
        self,
        request: JobRequest,
        messenger: JobMessenger,
        has_taker: Callable[[], bool],
        on_stop: Callable[[ClientError], None],
    ) -> None:
        self._request = request
        self._messenger = messenger
        self._has_taker = has_taker
        self._on_stop = on_stop
        self._outbox = EventOutbox()
        self._end: JobEnd | None = None
        self._lost: JobLost | None = None
        self._next_events_at = 0.0
        self._begun = asyncio.Event()
        self._changed = asyncio.Event()
        """Set when there may be something to send."""
        self._urgent = asyncio.Event()
        """Set when events are to be sent without waiting for more."""
        self._has_room = asyncio.Event()
        self.accepted = asyncio.Event()
        """Set once the job was accepted, lost or has ended."""
        self.ended = asyncio.Event()

    # Calls of the program

    def begin(self) -> None:
        """Accept the offer now."""
        self._begun.set()

    async def emit(self, event: str, data: Any) -> None:
        """Add an event; wait while the window is full.

        Raises ValueError and TypeError for what is no event, Refused for a large one, JobLost, Closed.
        """
        if event not in EVENTS:
            raise ValueError(f"{event!r} is no event. Events: {', '.join(sorted(EVENTS))}.")
        text = join_members({"event": event, "data": data})
        if text.size > MAX_BYTES:
            detail = f"the event has {text.size} bytes; the limit is {MAX_BYTES}"
            raise Refused(detail, reason="too_large", field="data")
        self.begin()
        while self._outbox.is_full and self._lost is None:
            self._has_room.clear()
            await self._has_room.wait()
        self._check_open()
        self._outbox.append(text)
        self._wake(urgent=self._outbox.is_full)

    def finish(self, end: JobEnd) -> None:
        """End the job. Raises JobLost; Closed if it was ended before."""
        self._check_open()
        if end.method == "job.reject":
            self._outbox.drop()
        self._end = end
        self.begin()
        self._wake(urgent=True)

    @property
    def is_open(self) -> bool:
        """Whether the job goes on, as far as this process knows."""
        return self._end is None and self._lost is None and not self.ended.is_set()

    def _check_open(self) -> None:
        if self._lost is not None:
            raise self._lost
        if not self.is_open:
            raise Closed("The job has ended.")

    # Messages of the server

    @property
    def reference(self) -> dict[str, Any]:
        return {"job_id": self._request.job_id, "attempt": self._request.attempt}

    def resume(self, applied_through: int) -> None:
        """Go on under another epoch."""
        self._outbox.acknowledge(applied_through)
        self.accepted.set()
        self._has_room.set()
        self._wake(urgent=True)

    def cancel(self, reason: str) -> None:
        if self._end is None:
            self._on_stop(JobCancelled(reason))

    def lose(self, reason: str) -> None:
        """Stop without ending the job: it has ended, or another instance has it."""
        if self._lost is not None or self.ended.is_set():
            return
        self._lost = JobLost(reason)
        for event in (self._begun, self._has_room, self.accepted):
            event.set()
        self._wake(urgent=True)
        if self._end is None:
            _log.warning("job %s was lost: %s", self._request.job_id, reason)
            self._on_stop(self._lost)

    # Sending

    def _wake(self, *, urgent: bool) -> None:
        self._changed.set()
        if urgent:
            self._urgent.set()

    async def run(self) -> None:
        try:
            await self._answer_offer()
            while self.is_open or self._outbox:
                await self._send_events()
            await self._send_end()
        except JobLost as lost:
            self.lose(str(lost))
        except ClientError as error:
            _log.warning("job %s cannot be reported: %s", self._request.job_id, error)
            self.lose(str(error))
        finally:
            self.ended.set()
            self.accepted.set()
            self._has_room.set()

    async def _answer_offer(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._request.accept_within_seconds / 2):
                await self._begun.wait()
        if not self._begun.is_set() and not self._has_taker():
            self.finish(ends.handed_back("the program takes no jobs"))
        if self._end is None or self._end.method != "job.reject":
            await self._send("job.accept", {})
            self.accepted.set()

    async def _send_events(self) -> None:
        """Send as many events as one message holds. Without any, wait for a change."""
        if not self._outbox:
            self._changed.clear()
            await self._changed.wait()
            return
        await self._coalesce()
        try:
            result = await self._messenger.request("job.events", self._next_events)
        except Refused as refused:
            self._stop_for(refused)
            return
        self._outbox.acknowledge(int(result["applied_through"]))
        self._has_room.set()

    async def _coalesce(self) -> None:
        loop = asyncio.get_running_loop()
        if not self._urgent.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._next_events_at):
                    await self._urgent.wait()
        self._urgent.clear()
        self._next_events_at = loop.time() + COALESCE_SECONDS

    def _next_events(self) -> Mapping[str, Any]:
        if self._lost is not None:
            raise self._lost
        first_seq, events = self._outbox.next_batch()
        return {**self.reference, "first_seq": first_seq, "events": join_items(events)}

    def _stop_for(self, refused: Refused) -> None:
        """The server does not take these events: the job fails."""
        self._outbox.drop()
        self._has_room.set()
        self._end = ends.error("invalid_event", str(refused))
        self._on_stop(refused)

    async def _send_end(self) -> None:
        if self._end is None:
            return
        try:
            await self._send(self._end.method, self._end.params)
        except Refused as refused:
            _log.error("the end of job %s was refused: %s", self._request.job_id, refused)
            await self._send("job.finish", ends.error("invalid_result", str(refused)).params)

    async def _send(self, method: str, params: Mapping[str, Any]) -> None:
        def current() -> Mapping[str, Any]:
            if self._lost is not None:
                raise self._lost
            through = {"through_seq": self._outbox.applied_through} if method == "job.finish" else {}
            return {**self.reference, **through, **params}

        await self._messenger.request(method, current)
