"""A small registry for the tests of the sockets' own behaviour: it answers at once, late, or not at all, as a test wants it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from robyn_server.core.errors import NotFound
from robyn_server.core.principal import Principal
from robyn_server.core.registry import (
    Beat,
    BeatAnswer,
    EventKind,
    InstanceChange,
    InstanceEvent,
    InstanceFilter,
    Outcome,
    Registered,
    Registering,
)


class FakeRegistry:
    """`ended`: (what, registration_id) in order. `hold_up` delays every answer until it is set; `overtaken` the next registration's, when
    it is made already."""

    def __init__(self) -> None:
        self.known: dict[UUID, dict[str, Any]] = {}
        self.ended: list[tuple[str, UUID]] = []
        self.hold_up: asyncio.Event | None = None
        self.overtaken: asyncio.Event | None = None
        self.error: Exception | None = None

    async def _answering(self) -> None:
        if self.hold_up is not None:
            await self.hold_up.wait()
        if self.error is not None:
            raise self.error

    async def register(
        self, principal: Principal, tenant: UUID, asked: Registering, keeper_id: UUID | None = None
    ) -> Registered:
        await self._answering()
        key = (tenant, asked.agent_id, asked.instance_id)
        found = next((each for each in self.known.values() if each["key"] == key), None)
        row = found or {"key": key, "registration_id": uuid4(), "epoch": 0, "tenant_id": tenant}
        row |= {name: getattr(asked, name) for name in Registering.__dataclass_fields__}
        row["epoch"] += 1
        self.known[row["registration_id"]] = row
        message, epoch = "registered" if found is None else "reconnected", row["epoch"]
        overtaken, self.overtaken = self.overtaken, None
        if overtaken is not None:
            await overtaken.wait()
        return Registered(
            row["registration_id"], uuid4(), uuid4(), asked.instance_id, found is None, message, epoch, 15.0, 5.0
        )

    def outcome(self, registration_id: UUID, epoch: int) -> Outcome:
        row = self.known.get(registration_id)
        if row is None:
            return Outcome.MUST_REGISTER
        return Outcome.OK if row["epoch"] == epoch else Outcome.SUPERSEDED

    async def heartbeat(self, principal: Principal, beat: Beat) -> BeatAnswer:
        await self._answering()
        return BeatAnswer(self.outcome(beat.registration_id, beat.epoch), 5.0, 15.0)

    async def disconnect(
        self, principal: Principal, tenant: UUID, registration_id: UUID, epoch: int, grace_seconds: float
    ) -> Outcome:
        self.ended.append(("disconnect", registration_id))
        return self.outcome(registration_id, epoch)

    async def deregister(
        self, principal: Principal, tenant: UUID, registration_id: UUID, epoch: int, reason: str | None = None
    ) -> Outcome:
        await self._answering()
        self.ended.append(("deregister", registration_id))
        return self.outcome(registration_id, epoch)

    async def drain(
        self, principal: Principal, tenant: UUID, registration_id: UUID, epoch: int, reason: str | None = None
    ) -> Outcome:
        return self.outcome(registration_id, epoch)

    async def update(
        self, principal: Principal, tenant: UUID, registration_id: UUID, epoch: int, change: InstanceChange
    ) -> Outcome:
        return self.outcome(registration_id, epoch)

    async def get(self, principal: Principal, tenant: UUID, registration_id: UUID) -> Mapping[str, Any]:
        row = self.known.get(registration_id)
        if row is None or row["tenant_id"] != tenant:
            raise NotFound("There is no such registration.", field="registration_id")
        return row

    async def said(self, principal: Principal, tenant: UUID, registration_id: UUID) -> Registering:
        row = await self.get(principal, tenant, registration_id)
        return Registering(**{name: row[name] for name in Registering.__dataclass_fields__})

    async def search(
        self, principal: Principal, tenant: UUID, wanted: InstanceFilter, after: UUID | None, limit: int
    ) -> Mapping[str, Any]:
        return {"instances": [each for each in self.known.values() if each["tenant_id"] == tenant]}


class FakeWatch:
    """`tell` puts an event to every subscriber."""

    def __init__(self) -> None:
        self.subscribers: list[tuple[UUID | None, asyncio.Queue[Any]]] = []
        self.position = 0
        self.compacted_before = 0

    @contextlib.asynccontextmanager
    async def subscribe(
        self, tenant: UUID | None, wanted: InstanceFilter, after: int | None = None
    ) -> AsyncIterator[Any]:
        subscription = _Subscription(tenant, self.position)
        self.subscribers.append((tenant, subscription.queue))
        try:
            yield subscription
        finally:
            self.subscribers.remove((tenant, subscription.queue))

    def tell(self, kind: EventKind, tenant: UUID, registration_id: UUID, epoch: int, **instance: Any) -> None:
        self.position += 1
        event = InstanceEvent(
            self.position, kind, tenant, "ide", registration_id, {"epoch": epoch, **instance}, datetime.now(UTC)
        )
        for wanted, queue in self.subscribers:
            if wanted in {None, tenant}:
                queue.put_nowait([event])

    def fail(self, error: Exception) -> None:
        for wanted, queue in self.subscribers:
            if wanted is not None:
                queue.put_nowait(error)


class _Subscription:
    def __init__(self, tenant: UUID | None, position: int) -> None:
        self.tenant, self.position = tenant, position
        self.queue: asyncio.Queue[Any] = asyncio.Queue()

    def __aiter__(self) -> _Subscription:
        return self

    async def __anext__(self) -> list[InstanceEvent]:
        item = await self.queue.get()
        if isinstance(item, Exception):
            raise item
        return item
