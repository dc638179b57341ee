"""Notify other processes, after a commit, of registrations to tell and of jobs that changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from uuid import UUID

from robyn_server.storage.postgres.notify import Notifier
from robyn_server.storage.registry.jobs.jobs import JOBS, OFFERS


class JobAnnouncer:
    """`on_offers` is called with the registrations at once: those of this process need not wait for a notification."""

    def __init__(self, notifier: Notifier, on_offers: Callable[[Iterable[UUID]], None]) -> None:
        self._notifier = notifier
        self._on_offers = on_offers

    def offered(self, registration_ids: Iterable[UUID]) -> None:
        """There is something to tell these registrations: an offer, or a cancellation."""
        told = set(registration_ids)
        if told:
            self._on_offers(told)
            self._notifier.notify(OFFERS, map(str, told))

    def changed(self, job_ids: Iterable[UUID]) -> None:
        """These jobs have another state, or further events."""
        changed = set(job_ids)
        if changed:
            self._notifier.notify(JOBS, map(str, changed))
