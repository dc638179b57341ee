"""What the sockets need of the rest of the server. The composition root hands it in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol
from uuid import UUID

from robyn_server.core.principal import Principal
from robyn_server.core.registry import (
    Beat,
    BeatAnswer,
    InstanceChange,
    InstanceFilter,
    Outcome,
    Registered,
    Registering,
)

TenantOf = Callable[[Principal, UUID | None], UUID]
"""The tenant that a message is about. Raises Forbidden, BadRequest."""


class Instances(Protocol):
    """Raises NotFound, Forbidden, Invalid, Conflict, Unavailable."""

    async def register(
        self, principal: Principal, tenant: UUID, asked: Registering, keeper_id: UUID | None = None
    ) -> Registered: ...

    async def heartbeat(self, principal: Principal, beat: Beat) -> BeatAnswer: ...

    async def drain(
        self, principal: Principal, tenant: UUID, registration_id: UUID, epoch: int, reason: str | None = None
    ) -> Outcome: ...

    async def deregister(
        self, principal: Principal, tenant: UUID, registration_id: UUID, epoch: int, reason: str | None = None
    ) -> Outcome: ...

    async def disconnect(
        self, principal: Principal, tenant: UUID, registration_id: UUID, epoch: int, grace_seconds: float
    ) -> Outcome: ...

    async def update(
        self, principal: Principal, tenant: UUID, registration_id: UUID, epoch: int, change: InstanceChange
    ) -> Outcome: ...

    async def get(self, principal: Principal, tenant: UUID, registration_id: UUID) -> Mapping[str, Any]: ...

    async def said(self, principal: Principal, tenant: UUID, registration_id: UUID) -> Registering: ...

    async def search(
        self, principal: Principal, tenant: UUID, wanted: InstanceFilter, after: UUID | None, limit: int
    ) -> Mapping[str, Any]: ...


class Credentials(Protocol):
    async def identify(self, credentials: Mapping[str, str] | str, organization: UUID | None = None) -> Principal: ...


class Tickets(Protocol):
    async def take(self, ticket: str) -> Mapping[str, str]:
        """The credentials (headers) that the ticket was issued for; it is gone then. Raises Unauthenticated, Unavailable."""
        ...
