"""A small registry for tests of the sockets. A test can delay its answers or make it fail."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from robyn_server.core.access.principal import Principal
from robyn_server.core.errors import NotFound
from robyn_server.core.registry.instances import (
    EventKind,
    Heartbeat,
    HeartbeatResult,
    InstanceChange,
    InstanceEvent,
    InstanceFilter,
    Outcome,
    Registration,
    RegistrationRequest,
)

_PUBLIC: Mapping[str, Any] = {
    "manifest_id": UUID(int=7),
    "registration_status": "active",
    "health_status": "healthy",
    "load": {},
    "metrics": {},
    "connection_details": {},
    "runtime_config": {},
}
"""Members of an instance that the fake does not keep."""


class FakeRegistry:
    """`ended`: (method, registration_id) in order.

    `blocked`: every answer waits for this event. `blocked_registration`: the answer of the next registration waits
    for this event, after the registration is made.
    """

    def __init__(self) -> None:
        self.instances: dict[UUID, dict[str, Any]] = {}
        self.ended: list[tuple[str, UUID]] = []
        self.blocked: asyncio.Event | None = None
        self.blocked_registration: asyncio.Event | None = None
        self.error: Exception | None = None

    async def _wait_or_fail(self) -> None:
        if self.blocked is not None:
            await self.blocked.wait()
        if self.error is not None:
            raise self.error

    async def register(self, principal: Principal, tenant: UUID, asked: RegistrationRequest) -> Registration:
        await self._wait_or_fail()
        key = (tenant, asked.agent_id, asked.instance_id)
        found = next((each for each in self.instances.values() if each["key"] == key), None)
        row = found or {"key": key, "registration_id": uuid4(), "epoch": 0, "tenant_id": tenant}
        given = {name: getattr(asked, name) for name in RegistrationRequest.__dataclass_fields__}
        row |= {name: value for name, value in given.items() if value is not None or name not in row}
        row["epoch"] += 1
        self.instances[row["registration_id"]] = row
        message, epoch = "registered" if found is None else "reconnected", row["epoch"]
        blocked_registration, self.blocked_registration = self.blocked_registration, None
        if blocked_registration is not None:
            await blocked_registration.wait()
        return Registration(
            row["registration_id"], uuid4(), uuid4(), asked.instance_id, found is None, message, epoch, 15.0, 5.0
        )

    def outcome(self, registration_id: UUID, epoch: int) -> Outcome:
        row = self.instances.get(registration_id)
        if row is None:
            return Outcome.MUST_REGISTER
        return Outcome.OK if row["epoch"] == epoch else Outcome.SUPERSEDED

    async def heartbeat(self, principal: Principal, beat: Heartbeat) -> HeartbeatResult:
        await self._wait_or_fail()
        return HeartbeatResult(self.outcome(beat.registration_id, beat.epoch), 5.0, 15.0)

    async def disconnect(
        self, principal: Principal, tenant: UUID, registration_id: UUID, epoch: int, grace_seconds: float
    ) -> Outcome:
        self.ended.append(("disconnect", registration_id))
        return self.outcome(registration_id, epoch)

    async def deregister(
        self, principal: Principal, tenant: UUID, registration_id: UUID, epoch: int, reason: str | None = None
    ) -> Outcome:
        await self._wait_or_fail()
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
        row = self.instances.get(registration_id)
        if row is None or row["tenant_id"] != tenant:
            raise NotFound("There is no such registration.", field="registration_id")
        given = {name: value for name, value in row.items() if name != "key" and value is not None}
        return {**_PUBLIC, "name": row["agent_id"], **given}

    async def last_request(self, principal: Principal, tenant: UUID, registration_id: UUID) -> RegistrationRequest:
        await self.get(principal, tenant, registration_id)
        row = self.instances[registration_id]
        return RegistrationRequest(**{name: row[name] for name in RegistrationRequest.__dataclass_fields__})

    async def search(
        self, principal: Principal, tenant: UUID, wanted: InstanceFilter, after: UUID | None, limit: int
    ) -> Mapping[str, Any]:
        return {"instances": [each for each in self.instances.values() if each["tenant_id"] == tenant]}


class FakeWatch:
    """`publish` sends an event to every subscriber."""

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

    async def last_position(self) -> int:
        return self.position

    def publish(self, kind: EventKind, tenant: UUID, registration_id: UUID, epoch: int, **instance: Any) -> None:
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
