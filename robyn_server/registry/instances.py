"""Use cases of instances, over a principal and a tenant. HTTP and WebSockets stand on them alike.

Rules
  1. The principal must belong to the tenant, and the registration to it as well: another tenant's does not exist.
  2. Every message about a registration carries its epoch; what an older life still sends changes nothing.
  3. What is over is told from what the tenant never had: only the first can register again and go on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson

from robyn_server.core.errors import Invalid
from robyn_server.core.principal import Principal
from robyn_server.core.registry import (
    Beat,
    BeatAnswer,
    HealthStatus,
    InstanceChange,
    InstanceFilter,
    Outcome,
    Registered,
    Registering,
    RegistrationStatus,
)
from robyn_server.core.version_range import VersionRange, parse_version_range
from robyn_server.storage.instances import InstancePage, Instances

from .counted import count_registered
from .outcomes import missing_registration
from .protocols import Heartbeats
from .tenants import ensure_member

LONGEST_IDENTITY = 255


class InstanceService:
    """`changed` is called after every change, when it is committed: there are events to publish."""

    def __init__(self, instances: Instances, heartbeats: Heartbeats, changed: Callable[[], None]) -> None:
        self._instances = instances
        self._heartbeats = heartbeats
        self._changed = changed

    async def register(
        self, principal: Principal, tenant: UUID, asked: Registering, keeper_id: UUID | None = None
    ) -> Registered:
        """`keeper_id` None: that of this process's heartbeats. Raises Forbidden (also code configuration_disabled), Invalid."""
        keeper = self._heartbeats.id if keeper_id is None else keeper_id
        identity = principal.identity[:LONGEST_IDENTITY]
        ensure_member(principal, tenant)
        registered = await self._instances.register(tenant, asked, registered_by=identity, keeper_id=keeper)
        self._changed()
        count_registered(registered)
        return registered

    async def heartbeat(self, principal: Principal, beat: Beat) -> BeatAnswer:
        """OK, SUPERSEDED or MUST_REGISTER. Raises NotFound for a registration that the tenant does not have, Forbidden, Invalid."""
        ensure_member(principal, beat.tenant_id)
        if beat.health is HealthStatus.STALE:
            raise Invalid("health: stale is not for an instance to say", field="health")
        answer = await self._heartbeats.beat(beat)
        if answer.outcome is Outcome.MUST_REGISTER and not await self._is_known(beat.tenant_id, beat.registration_id):
            raise missing_registration()
        return answer

    async def _is_known(self, tenant: UUID, registration_id: UUID) -> bool:
        return await self._instances.find_status(tenant, registration_id) is not None

    async def drain(
        self, principal: Principal, tenant: UUID, registration_id: UUID, epoch: int, reason: str | None = None
    ) -> Outcome:
        """MUST_REGISTER also for an epoch that has never been, as a heartbeat. Raises Forbidden; so do the following."""
        ensure_member(principal, tenant)
        return await self._done(self._instances.drain(tenant, registration_id, epoch, reason), tenant, registration_id)

    async def deregister(
        self, principal: Principal, tenant: UUID, registration_id: UUID, epoch: int, reason: str | None = None
    ) -> Outcome:
        ensure_member(principal, tenant)
        return await self._done(
            self._instances.deregister(tenant, registration_id, epoch, reason), tenant, registration_id
        )

    async def disconnect(
        self, principal: Principal, tenant: UUID, registration_id: UUID, epoch: int, grace_seconds: float
    ) -> Outcome:
        ensure_member(principal, tenant)
        return await self._done(
            self._instances.disconnect(tenant, registration_id, epoch, grace_seconds), tenant, registration_id
        )

    async def update(
        self, principal: Principal, tenant: UUID, registration_id: UUID, epoch: int, change: InstanceChange
    ) -> Outcome:
        ensure_member(principal, tenant)
        return await self._done(self._instances.update(tenant, registration_id, epoch, change), tenant, registration_id)

    async def _done(self, change: Awaitable[Outcome], tenant: UUID, registration_id: UUID) -> Outcome:
        outcome = await change
        self._changed()
        return await self._explained(outcome, tenant, registration_id)

    async def _explained(self, outcome: Outcome, tenant: UUID, registration_id: UUID) -> Outcome:
        """UNKNOWN is for what the tenant does not have. A life that is over, or that this database has never seen (it was restored from
        an older copy), can only begin anew."""
        if outcome is Outcome.UNKNOWN and await self._is_known(tenant, registration_id):
            return Outcome.MUST_REGISTER
        return outcome

    async def get(self, principal: Principal, tenant: UUID, registration_id: UUID) -> Mapping[str, Any]:
        """The public representation, secrets struck out. Raises NotFound, Forbidden."""
        ensure_member(principal, tenant)
        body = await self._instances.find(tenant, registration_id)
        if body is None:
            raise missing_registration()
        found: Mapping[str, Any] = orjson.loads(body)
        return found

    async def said(self, principal: Principal, tenant: UUID, registration_id: UUID) -> Registering:
        """What the instance last said of itself, secrets and all: for itself alone, when it resumes. Raises NotFound, Forbidden."""
        ensure_member(principal, tenant)
        found = await self._instances.find_said(tenant, registration_id)
        if found is None:
            raise missing_registration()
        return found

    async def search(
        self, principal: Principal, tenant: UUID, wanted: InstanceFilter, after: UUID | None, limit: int
    ) -> Mapping[str, Any]:
        """A page by registration_id: `instances` (JSON texts, to be written as they are: to read ten and write them again takes 35 µs),
        and `next_cursor` where there are more. Raises Forbidden, Invalid.

        Instances that stay appear once, whatever comes and goes between two pages.
        """
        page = await self._page(principal, tenant, wanted, after, limit)
        next_cursor = None if page.after is None else str(page.after)
        return {"instances": [orjson.Fragment(body) for body in page.bodies], "next_cursor": next_cursor}

    async def _page(
        self, principal: Principal, tenant: UUID, wanted: InstanceFilter, after: UUID | None, limit: int
    ) -> InstancePage:
        ensure_member(principal, tenant)
        versions = VersionRange() if wanted.version is None else parse_version_range(wanted.version)
        if not _is_possible(wanted):
            return InstancePage([], None)
        return await self._instances.search(tenant, _explicit(wanted), versions, after=after, limit=limit)


def _explicit(wanted: InstanceFilter) -> InstanceFilter:
    """Stale is what has no living lease, and that is inactive."""
    return replace(wanted, status=RegistrationStatus.INACTIVE) if wanted.health is HealthStatus.STALE else wanted


def _is_possible(wanted: InstanceFilter) -> bool:
    """Nothing is inactive and anything but stale, or has slots to give."""
    if wanted.status is RegistrationStatus.INACTIVE:
        return wanted.health in {None, HealthStatus.STALE} and wanted.free_slots is None
    return wanted.health is not HealthStatus.STALE or (wanted.status is None and wanted.free_slots is None)
