"""The use cases of instances as tests ask for them, and who asks."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import orjson
from registry_sql import T1, T2, Registry

from robyn_server.core.principal import Principal
from robyn_server.core.registry import Beat, InstanceFilter, Outcome, Registered, Registering
from robyn_server.registry import InstanceService
from robyn_server.runtime.lease_keeper import LeaseKeeper
from robyn_server.storage.instances import Instances

ADA = Principal("ada", organizations=frozenset({T1}))
MIA = Principal("mia", organizations=frozenset({T2}))
BOTH = Principal("both", organizations=frozenset({T1, T2}))


class Desk:
    """A service, and the short ways in which tests ask it."""

    def __init__(self, registry: Registry, keeper: LeaseKeeper) -> None:
        self.registry = registry
        self.keeper = keeper
        self.changes = 0
        self.service = InstanceService(Instances(registry.app), keeper, self._changed)

    def _changed(self) -> None:
        self.changes += 1

    async def register(
        self, instance_id: str = "c1", who: Principal = ADA, tenant: UUID = T1, agent_id: str = "ide-agent", **said: Any
    ) -> Registered:
        asked = Registering(agent_id=agent_id, instance_id=instance_id, **said)
        return await self.service.register(who, tenant, asked)

    async def beat(self, one: Registered, who: Principal = ADA, tenant: UUID = T1, **said: Any) -> Outcome:
        beat = Beat(tenant, one.registration_id, said.pop("epoch", one.epoch), **said)
        return (await self.service.heartbeat(who, beat)).outcome

    async def page(
        self, wanted: InstanceFilter, after: UUID | None, limit: int, who: Principal = ADA, tenant: UUID = T1
    ) -> dict[str, Any]:
        """As a client reads it."""
        page = await self.service.search(who, tenant, wanted, after, limit)
        return dict(orjson.loads(orjson.dumps(page)))

    async def found(self, who: Principal = ADA, tenant: UUID = T1, **wanted: Any) -> set[str]:
        """The instance_ids of what is found in pages of two."""
        names: list[str] = []
        after: UUID | None = None
        while True:
            page = await self.page(InstanceFilter(**wanted), after, 2, who, tenant)
            names += [each["instance_id"] for each in page["instances"]]
            if page["next_cursor"] is None:
                break
            assert len(page["instances"]) == 2
            after = UUID(page["next_cursor"])
        assert len(names) == len(set(names))
        return set(names)

    async def get(self, one: Registered) -> dict[str, Any]:
        return dict(await self.service.get(ADA, T1, one.registration_id))

    async def lapse(self, one: Registered) -> None:
        """Its lease ends now, and nobody has swept."""
        await self.registry.owner.execute(
            "update mcp.agent_leases set lease_expires_at = now() where registration_id = $1", one.registration_id
        )
