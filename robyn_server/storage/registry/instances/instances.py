"""Instances of agents that run elsewhere, of one organization, through the functions of schema mcp.

Works as agenthall_app. Each call is one round trip and one transaction, and its statement selects the organization.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import asyncpg

from robyn_server.core.access.principal import Principal
from robyn_server.core.registry.instances import (
    MAX_IDENTITY_LENGTH,
    HealthStatus,
    InstanceChange,
    InstanceFilter,
    Outcome,
    Registration,
    RegistrationRequest,
    RegistrationStatus,
)
from robyn_server.core.registry.version_range import VersionRange
from robyn_server.storage.postgres.errors import translated
from robyn_server.storage.postgres.json import from_json, to_json
from robyn_server.storage.postgres.pools import Connection, Pool, attributed
from robyn_server.storage.postgres.queries import Bound, load
from robyn_server.storage.registry.instances.search import search

_SQL = load("registry/instances/instances")
_FIRST = UUID(int=0)


@dataclass(frozen=True, slots=True)
class InstancePage:
    """`bodies`: JSON texts in the order of ids. `after`: the last id, when there are more instances."""

    bodies: list[str]
    after: UUID | None


class Instances:
    """Raises Invalid naming the field, Forbidden (code configuration_disabled), Unavailable."""

    def __init__(self, pool: Pool | Connection) -> None:
        self._pool = pool

    async def register(
        self, organization_id: UUID, request: RegistrationRequest, *, registered_by: str, keeper_id: UUID | None
    ) -> Registration:
        async with translated():
            row = await self._pool.fetchrow(
                *_SQL["register"].bind(
                    organization_id=organization_id,
                    agent_id=request.agent_id,
                    instance_id=request.instance_id,
                    name=request.name,
                    connection_details=to_json(request.connection_details),
                    runtime_config=to_json(request.runtime_config),
                    connection_defaults=to_json(request.connection_defaults),
                    capabilities=request.capabilities,
                    version=request.version,
                    agent_type=request.agent_type,
                    zone=request.zone,
                    tags=request.tags,
                    idempotency_key=request.idempotency_key,
                    registered_by=registered_by,
                    keeper_id=keeper_id,
                    health=request.health,
                    drain_reason=request.drain_reason,
                )
            )
        assert row is not None  # noqa: S101 - one row, or an error
        return Registration(
            row["registration_id"],
            row["manifest_id"],
            row["config_id"],
            request.instance_id,
            row["is_new"],
            row["message"],
            row["epoch"],
            row["lease_ttl_seconds"],
            row["heartbeat_interval_seconds"],
        )

    async def drain(
        self,
        organization_id: UUID,
        registration_id: UUID,
        epoch: int,
        reason: str | None,
        *,
        by: Principal | None = None,
    ) -> Outcome:
        return await self._outcome(
            _SQL["drain"].bind(
                **attributed(by),
                organization_id=organization_id,
                registration_id=registration_id,
                epoch=epoch,
                reason=reason,
            )
        )

    async def deregister(
        self,
        organization_id: UUID,
        registration_id: UUID,
        epoch: int,
        reason: str | None,
        *,
        by: Principal | None = None,
    ) -> Outcome:
        return await self._outcome(
            _SQL["deregister"].bind(
                **attributed(by),
                organization_id=organization_id,
                registration_id=registration_id,
                epoch=epoch,
                reason=reason,
            )
        )

    async def disconnect(
        self, organization_id: UUID, registration_id: UUID, epoch: int, grace_seconds: float
    ) -> Outcome:
        return await self._outcome(
            _SQL["disconnect"].bind(
                organization_id=organization_id,
                registration_id=registration_id,
                epoch=epoch,
                grace_seconds=grace_seconds,
            )
        )

    async def cordon(self, by: Principal, organization_id: UUID, registration_id: UUID, reason: str | None) -> Outcome:
        return await self._outcome(
            _SQL["cordon"].bind(
                **attributed(by),
                organization_id=organization_id,
                registration_id=registration_id,
                reason=reason,
                cordoned_by=by.identity[:MAX_IDENTITY_LENGTH],
            )
        )

    async def uncordon(self, by: Principal, organization_id: UUID, registration_id: UUID) -> Outcome:
        return await self._outcome(
            _SQL["uncordon"].bind(**attributed(by), organization_id=organization_id, registration_id=registration_id)
        )

    async def update(self, organization_id: UUID, registration_id: UUID, epoch: int, change: InstanceChange) -> Outcome:
        return await self._outcome(
            _SQL["update"].bind(
                organization_id=organization_id,
                registration_id=registration_id,
                epoch=epoch,
                name=change.name,
                capabilities=change.capabilities,
                version=change.version,
                zone=change.zone,
                tags=change.tags,
                connection_details=to_json(change.connection_details),
                runtime_config=to_json(change.runtime_config),
            )
        )

    async def _outcome(self, bound: Bound) -> Outcome:
        async with translated():
            return Outcome(await self._pool.fetchval(*bound))

    async def find_status(self, organization_id: UUID, registration_id: UUID) -> RegistrationStatus | None:
        """The stored status, which ignores the lease; None when the organization has no such registration."""
        async with translated():
            query = _SQL["find_status"].bind(organization_id=organization_id, registration_id=registration_id)
            status = await self._pool.fetchval(*query)
        return None if status is None else RegistrationStatus(status)

    async def find_agent_id(self, organization_id: UUID, registration_id: UUID) -> str | None:
        """None when the organization has no such registration."""
        async with translated():
            query = _SQL["find_agent_id"].bind(organization_id=organization_id, registration_id=registration_id)
            agent_id: str | None = await self._pool.fetchval(*query)
        return agent_id

    async def find(self, organization_id: UUID, registration_id: UUID) -> str | None:
        """As JSON text, without secrets."""
        async with translated():
            query = _SQL["find"].bind(organization_id=organization_id, registration_id=registration_id)
            body: str | None = await self._pool.fetchval(*query)
        return body

    async def find_last_request(self, organization_id: UUID, registration_id: UUID) -> RegistrationRequest | None:
        async with translated():
            query = _SQL["find_last_request"].bind(organization_id=organization_id, registration_id=registration_id)
            row = await self._pool.fetchrow(*query)
        return None if row is None else _request(row)

    async def search(
        self,
        organization_id: UUID,
        instance_filter: InstanceFilter,
        versions: VersionRange,
        *,
        after: UUID | None,
        limit: int,
    ) -> InstancePage:
        query, filters = search(instance_filter, versions)
        async with translated():
            rows = await self._pool.fetch(
                *query.bind(organization_id=organization_id, after=after or _FIRST, limit=limit + 1, **filters)
            )
        more = len(rows) > limit
        return InstancePage([row["body"] for row in rows[:limit]], rows[limit - 1]["registration_id"] if more else None)


def _request(row: asyncpg.Record) -> RegistrationRequest:
    return RegistrationRequest(
        agent_id=row["agent_id"],
        instance_id=row["instance_id"],
        name=row["name"],
        connection_details=from_json(row["connection_details"]),
        runtime_config=from_json(row["runtime_config"]),
        capabilities=tuple(row["capabilities"]),
        version=row["version"],
        agent_type=row["agent_type"],
        zone=row["zone"],
        tags=tuple(row["tags"]),
        health=HealthStatus.HEALTHY,
    )
