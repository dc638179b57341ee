"""The instance service with short calls for tests, and the principals that call it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import orjson
from registry_database import ORG_1, ORG_2, RegistryDatabase

from robyn_server.core.access.principal import Principal
from robyn_server.core.registry.instances import Heartbeat, InstanceFilter, Outcome, Registration, RegistrationRequest
from robyn_server.registry import InstanceService
from robyn_server.registry.leases.heartbeats import HeartbeatBatcher
from robyn_server.storage.registry.instances.instances import Instances

ADA = Principal("ada", organizations=frozenset({ORG_1}))
MIA = Principal("mia", organizations=frozenset({ORG_2}))
BOTH = Principal("both", organizations=frozenset({ORG_1, ORG_2}))


class InstanceServiceDriver:
    """A service, and short calls of its methods."""

    def __init__(self, registry: RegistryDatabase, keeper: HeartbeatBatcher) -> None:
        self.registry = registry
        self.keeper = keeper
        self.changes = 0
        self.service = InstanceService(Instances(registry.app), keeper, self._changed)

    def _changed(self) -> None:
        self.changes += 1

    async def register(
        self,
        instance_id: str = "c1",
        who: Principal = ADA,
        tenant: UUID = ORG_1,
        agent_id: str = "ide-agent",
        **said: Any,
    ) -> Registration:
        asked = RegistrationRequest(agent_id=agent_id, instance_id=instance_id, **said)
        return await self.service.register(who, tenant, asked)

    async def heartbeat(self, one: Registration, who: Principal = ADA, tenant: UUID = ORG_1, **said: Any) -> Outcome:
        beat = Heartbeat(tenant, one.registration_id, said.pop("epoch", one.epoch), **said)
        return (await self.service.heartbeat(who, beat)).outcome

    async def search_page(
        self, wanted: InstanceFilter, after: UUID | None, limit: int, who: Principal = ADA, tenant: UUID = ORG_1
    ) -> dict[str, Any]:
        """The page as a client reads it."""
        page = await self.service.search(who, tenant, wanted, after, limit)
        return dict(orjson.loads(orjson.dumps(page)))

    async def search_ids(self, who: Principal = ADA, tenant: UUID = ORG_1, **wanted: Any) -> set[str]:
        """The instance_ids found in pages of two."""
        names: list[str] = []
        after: UUID | None = None
        while True:
            page = await self.search_page(InstanceFilter(**wanted), after, 2, who, tenant)
            names += [each["instance_id"] for each in page["instances"]]
            if page["next_cursor"] is None:
                break
            assert len(page["instances"]) == 2
            after = UUID(page["next_cursor"])
        assert len(names) == len(set(names))
        return set(names)

    async def get(self, one: Registration) -> dict[str, Any]:
        return dict(await self.service.get(ADA, ORG_1, one.registration_id))

    async def expire_lease(self, one: Registration) -> None:
        """End the lease of an instance now, without a sweep."""
        await self.registry.owner.execute(
            "update mcp.agent_leases set lease_expires_at = now() where registration_id = $1", one.registration_id
        )
