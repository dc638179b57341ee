"""Read what registrations of this process are to be told about jobs: offers, cancellations and forced ends.

A notification wakes the reader. Once a second it reads without one, because notifications may be lost. An offer that
is larger than a message to an instance may be is rejected for the instance.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Protocol
from uuid import UUID

from robyn_server.concurrency.periodic import Periodic
from robyn_server.concurrency.subscriptions import DueIds
from robyn_server.core.registry.jobs import JobNotice, JobRef
from robyn_server.storage.postgres.notify import ids_in
from robyn_server.storage.registry.jobs.assigned import AssignedJobs

_POLL_SECONDS = 1.0
_LONGEST_BACKOFF = 5.0
_PAGE = 500
"""Registrations of one statement."""


class NoticeTarget(Protocol):
    """The registrations of this process that take jobs."""

    @property
    def registration_ids(self) -> Collection[UUID]: ...

    def deliver(self, registration_ids: Collection[UUID], notices: Sequence[JobNotice]) -> None:
        """`notices`: all that there are for these registrations now, also those that were delivered before."""


class NoticeReader:
    """`max_bytes`: of the input of an offer; None: any. `reject` is called with larger ones, and the reason."""

    def __init__(
        self,
        jobs: AssignedJobs,
        target: NoticeTarget,
        reject: Callable[[JobRef, str], Awaitable[None]],
        max_bytes: int | None = None,
    ) -> None:
        self._jobs = jobs
        self._target = target
        self._reject = reject
        self._max_bytes = max_bytes
        self._due = DueIds(_POLL_SECONDS)
        self._loop = Periodic("job notices", self._read, _POLL_SECONDS, retry=0.2, longest=_LONGEST_BACKOFF)

    def start(self) -> None:
        self._loop.start()

    async def stop(self) -> None:
        await self._loop.stop()

    def wake(self, payload: str) -> None:
        """Handle a notification; `payload` is a comma-separated list of registration ids."""
        self.wake_ids(ids_in(payload))

    def wake_ids(self, registration_ids: Iterable[UUID]) -> None:
        held = self._target.registration_ids
        woken = {each for each in registration_ids if each in held}
        if woken:
            self._due.add(woken)
            self._loop.wake()

    def wake_all(self) -> None:
        """Read all: notifications may have been missed."""
        self._due.add_all()
        self._loop.wake()

    async def _read(self) -> None:
        due = sorted(self._due.take(self._target.registration_ids))
        try:
            for first in range(0, len(due), _PAGE):
                await self._read_page(due[first : first + _PAGE])
        except Exception:
            self._due.add(due)  # the loop tries again soon
            raise

    async def _read_page(self, registration_ids: Sequence[UUID]) -> None:
        notices = await self._jobs.list_notices(registration_ids)
        too_large = [each for each in notices if self._is_too_large(each)]
        self._target.deliver(registration_ids, [each for each in notices if each not in too_large])
        for each in too_large:
            await self._reject(each.ref, f"its input is larger than the {self._max_bytes} bytes of a message")

    def _is_too_large(self, notice: JobNotice) -> bool:
        return self._max_bytes is not None and notice.input is not None and len(notice.input) > self._max_bytes
