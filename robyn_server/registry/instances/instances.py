"""Use cases of instances, for HTTP and WebSockets.

Rules
  1. The principal must be a member of the organization. A registration of another organization does not exist.
  2. Every message about a registration carries its epoch. A message with an older epoch changes nothing.
  3. A registration that has ended is MUST_REGISTER: its instance registers again. One that the organization never had
     is UNKNOWN.
  4. A key that is bound to types of agents writes only their instances.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

import orjson
import structlog

from robyn_server.core.access.principal import Principal
from robyn_server.core.json import exact_json
from robyn_server.core.registry.instances import (
    MAX_IDENTITY_LENGTH,
    HealthStatus,
    Heartbeat,
    HeartbeatResult,
    InstanceChange,
    InstanceFilter,
    Outcome,
    Registration,
    RegistrationRequest,
    RegistrationStatus,
)
from robyn_server.core.registry.version_range import VersionRange, parse_version_range
from robyn_server.registry.instances.bound_agents import BoundAgents
from robyn_server.registry.instances.registration_metrics import count_registration
from robyn_server.registry.leases.heartbeats import HeartbeatBatcher
from robyn_server.registry.organizations import ensure_member
from robyn_server.registry.outcomes import missing_registration
from robyn_server.storage.registry.instances.instances import InstancePage, Instances

_log = structlog.get_logger(__name__)


class InstanceService:
    """Every method raises Forbidden if the principal is not a member of the organization. Methods that write also raise
    it if the principal's key is bound to other agents.

    `on_change` is called after each change is committed, so that its events are published. `on_left` is called with the
    registration of an instance that has deregistered, so that its jobs are offered to others.
    """

    def __init__(
        self,
        instances: Instances,
        heartbeats: HeartbeatBatcher,
        on_change: Callable[[], None],
        on_left: Callable[[UUID], None] = lambda _registration_id: None,
    ) -> None:
        self._instances = instances
        self._bound = BoundAgents(instances)
        self._heartbeats = heartbeats
        self._on_change = on_change
        self._on_left = on_left

    async def register(self, principal: Principal, organization_id: UUID, request: RegistrationRequest) -> Registration:
        """Register an instance, with a lease that this process holds.

        Raises Forbidden (also code configuration_disabled), Invalid.
        """
        ensure_member(principal, organization_id)
        principal.require_agent(request.agent_id)
        registration = await self._instances.register(
            organization_id,
            request,
            registered_by=principal.identity[:MAX_IDENTITY_LENGTH],
            keeper_id=self._heartbeats.keeper_id,
        )
        self._on_change()
        count_registration(registration)
        _log.info(
            "instance registered" if registration.is_new else "instance reconnected",
            agent=request.agent_id,
            instance=request.instance_id,
            registration_id=str(registration.registration_id),
        )
        return registration

    async def heartbeat(self, principal: Principal, heartbeat: Heartbeat) -> HeartbeatResult:
        """Renew a lease. Raises NotFound for a registration that the organization never had, Invalid, Unavailable."""
        await self._ensure_writable(principal, heartbeat.tenant_id, heartbeat.registration_id)
        result = await self._heartbeats.submit(heartbeat)
        if result.outcome is Outcome.MUST_REGISTER and not await self._is_known(
            heartbeat.tenant_id, heartbeat.registration_id
        ):
            raise missing_registration()
        return result

    async def _is_known(self, organization_id: UUID, registration_id: UUID) -> bool:
        return await self._instances.find_status(organization_id, registration_id) is not None

    async def drain(
        self, principal: Principal, organization_id: UUID, registration_id: UUID, epoch: int, reason: str | None = None
    ) -> Outcome:
        await self._ensure_writable(principal, organization_id, registration_id)
        return await self._commit(
            self._instances.drain(organization_id, registration_id, epoch, reason, by=principal),
            organization_id,
            registration_id,
        )

    async def deregister(
        self, principal: Principal, organization_id: UUID, registration_id: UUID, epoch: int, reason: str | None = None
    ) -> Outcome:
        await self._ensure_writable(principal, organization_id, registration_id)
        outcome = await self._commit(
            self._instances.deregister(organization_id, registration_id, epoch, reason, by=principal),
            organization_id,
            registration_id,
        )
        if outcome is Outcome.OK:
            self._on_left(registration_id)
        return outcome

    async def disconnect(
        self, principal: Principal, organization_id: UUID, registration_id: UUID, epoch: int, grace_seconds: float
    ) -> Outcome:
        await self._ensure_writable(principal, organization_id, registration_id)
        return await self._commit(
            self._instances.disconnect(organization_id, registration_id, epoch, grace_seconds),
            organization_id,
            registration_id,
        )

    async def update(
        self, principal: Principal, organization_id: UUID, registration_id: UUID, epoch: int, change: InstanceChange
    ) -> Outcome:
        await self._ensure_writable(principal, organization_id, registration_id)
        return await self._commit(
            self._instances.update(organization_id, registration_id, epoch, change), organization_id, registration_id
        )

    async def _ensure_writable(self, principal: Principal, organization_id: UUID, registration_id: UUID) -> None:
        ensure_member(principal, organization_id)
        await self._bound.ensure_writable(principal, organization_id, registration_id)

    async def _commit(self, change: Awaitable[Outcome], organization_id: UUID, registration_id: UUID) -> Outcome:
        outcome = await change
        self._on_change()
        # SQL answers UNKNOWN for an epoch that it has not seen, too: the database may have been restored from an older
        # backup.
        if outcome is Outcome.UNKNOWN and await self._is_known(organization_id, registration_id):
            return Outcome.MUST_REGISTER
        return outcome

    async def get(self, principal: Principal, organization_id: UUID, registration_id: UUID) -> Mapping[str, Any]:
        """Return the public representation, without secrets. Raises NotFound."""
        ensure_member(principal, organization_id)
        body = await self._instances.find(organization_id, registration_id)
        if body is None:
            raise missing_registration()
        instance: Mapping[str, Any] = exact_json.loads(body)
        return instance

    async def last_request(
        self, principal: Principal, organization_id: UUID, registration_id: UUID
    ) -> RegistrationRequest:
        """Return the instance's last registration with its secrets, for the instance itself when it resumes.

        Raises NotFound.
        """
        ensure_member(principal, organization_id)
        request = await self._instances.find_last_request(organization_id, registration_id)
        if request is None:
            raise missing_registration()
        return request

    async def search(
        self,
        principal: Principal,
        organization_id: UUID,
        instance_filter: InstanceFilter,
        after: UUID | None,
        limit: int,
    ) -> Mapping[str, Any]:
        """Return a page in the order of registration_id: `instances`, and `next_cursor` if there are more. Raises
        Invalid.

        An instance that exists all the time appears once, even if others are added or removed between two pages.
        """
        page = await self._page(principal, organization_id, instance_filter, after, limit)
        next_cursor = None if page.after is None else str(page.after)
        # Fragments are sent as they are: parsing and writing ten instances would take 35 µs.
        return {"instances": [orjson.Fragment(body) for body in page.bodies], "next_cursor": next_cursor}

    async def _page(
        self,
        principal: Principal,
        organization_id: UUID,
        instance_filter: InstanceFilter,
        after: UUID | None,
        limit: int,
    ) -> InstancePage:
        ensure_member(principal, organization_id)
        versions = VersionRange() if instance_filter.version is None else parse_version_range(instance_filter.version)
        if not _is_possible(instance_filter):
            return InstancePage([], None)
        return await self._instances.search(organization_id, instance_filter, versions, after=after, limit=limit)


def _is_possible(instance_filter: InstanceFilter) -> bool:
    """Return False if no instance can match: inactive ones are stale, and have no free slots."""
    if instance_filter.status is RegistrationStatus.INACTIVE:
        return instance_filter.health in {None, HealthStatus.STALE} and instance_filter.free_slots is None
    return instance_filter.health is not HealthStatus.STALE or (
        instance_filter.status is None and instance_filter.free_slots is None
    )
