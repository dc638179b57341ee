"""The open sessions of this process, and the session that holds each registration."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID

from robyn_server.core.access.quota import ConcurrencyQuota
from robyn_server.core.registry.instances import EventKind, InstanceEvent, InstanceFilter
from robyn_server.sockets.dependencies import SocketDependencies
from robyn_server.sockets.limits import Limits

from . import notifications
from .job_desk import JobDesk
from .registrations import HeldRegistration
from .session import Session

SHARDS = 5
"""The liveness monitor checks one shard at a time, so that no check takes long."""

_ENDED = frozenset({EventKind.DEREGISTERED, EventKind.INACTIVE, EventKind.DELETED})


@dataclass(slots=True)
class SocketCounts:
    """`slow`: closed because the client read nothing.

    `silent`: closed because the client sent nothing. `refused`: over a limit.
    """

    slow: int = 0
    silent: int = 0
    refused: int = 0


@dataclass(slots=True)
class SessionHub:
    dependencies: SocketDependencies
    limits: Limits
    jobs: JobDesk = field(default_factory=JobDesk)
    counts: SocketCounts = field(default_factory=SocketCounts)
    quota: ConcurrencyQuota = field(init=False)
    """Sockets of each principal."""

    is_draining: bool = False
    _shards: list[set[Session]] = field(default_factory=lambda: [set() for _ in range(SHARDS)])
    _holders: dict[UUID, Session] = field(default_factory=dict)
    _next_shard: int = 0

    def __post_init__(self) -> None:
        self.quota = ConcurrencyQuota(self.limits.sockets_per_principal)

    def __len__(self) -> int:
        return sum(map(len, self._shards))

    def __iter__(self) -> Iterator[Session]:
        return iter([session for shard in self._shards for session in shard])

    def add(self, session: Session) -> bool:
        """Return False when the process has as many sockets as it may have."""
        if len(self) >= self.limits.sockets:
            return False
        min(self._shards, key=len).add(session)
        return True

    def remove(self, session: Session) -> None:
        for shard in self._shards:
            shard.discard(session)

    def next_shard(self) -> list[Session]:
        """The sessions of each shard in turn."""
        self._next_shard = (self._next_shard + 1) % SHARDS
        return list(self._shards[self._next_shard])

    def claim(self, session: Session, registration: HeldRegistration) -> None:
        """Record that `session` holds the registration, and notify the session that held it before."""
        registration_id = registration.registration_id
        session.registrations[registration_id] = registration
        before = self._holders.get(registration_id)
        newer = None if before is None or before is session else before.registrations.get(registration_id)
        if newer is not None and newer.epoch > registration.epoch:
            # A later registration was answered first: this session is notified once it has its own answer.
            session.run_after_reply(lambda: self._supersede(session, registration_id))
            return
        self._holders[registration_id] = session
        if before is not None and before is not session:
            self._supersede(before, registration_id)

    def release(self, session: Session, registration_id: UUID) -> None:
        """Forget that `session` holds the registration."""
        session.registrations.pop(registration_id, None)
        self.jobs.close(session, registration_id)
        if self._holders.get(registration_id) is session:
            del self._holders[registration_id]

    @contextlib.contextmanager
    def registering(self, session: Session) -> Iterator[None]:
        """Hold back events for `session`: that of its own new epoch may come before the answer that tells it the
        epoch."""
        session.postponed = []
        try:
            yield
        finally:
            events, session.postponed = session.postponed, None
            for event in events:
                self.handle_event(event)

    async def follow_events(self) -> None:
        """Handle the events of all organizations until cancelled. Raises when the subscription ends."""
        async with self.dependencies.instance_events.subscribe(None, InstanceFilter()) as subscription:
            async for events in subscription:
                for event in events:
                    self.handle_event(event)

    def handle_event(self, event: InstanceEvent) -> None:
        """Notify the session that holds the event's registration, if one of this process does."""
        session = self._holders.get(event.registration_id)
        held = None if session is None else session.registrations.get(event.registration_id)
        if session is None or held is None:
            return
        if session.postponed is not None:
            session.postponed.append(event)
            return
        epoch = int(event.instance.get("epoch") or 0)
        if epoch > held.epoch:
            self._supersede(session, event.registration_id)
        elif epoch == held.epoch:
            self._notify(session, held, event)

    def _notify(self, session: Session, held: HeldRegistration, event: InstanceEvent) -> None:
        if event.kind is EventKind.STALE:
            notifications.notify_lease_lapsed(session, held)
        elif event.kind is EventKind.DRAINING:
            notifications.notify_draining(session, held, event.instance.get("status_reason"))
        elif event.kind in _ENDED:
            self.release(session, held.registration_id)
            notifications.notify_lease_lost(session, held, event.kind)

    def _supersede(self, session: Session, registration_id: UUID) -> None:
        held = session.registrations.get(registration_id)
        if held is not None:
            self.release(session, registration_id)
            notifications.notify_superseded(session, held)
