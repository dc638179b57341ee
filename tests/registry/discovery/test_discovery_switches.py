"""Discovery leaves out cordoned instances and those of disabled configurations, at once and at little cost."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from instance_service_driver import ADA, MIA, InstanceServiceDriver
from read_costs import touched
from registry_database import ORG_1, RegistryDatabase, filled_registry

from robyn_server.core.errors import Forbidden, NotFound
from robyn_server.core.registry.instances import HealthStatus, Heartbeat, InstanceFilter, RegistrationStatus
from robyn_server.core.registry.version_range import VersionRange
from robyn_server.registry import CordonService
from robyn_server.storage.postgres.queries import load
from robyn_server.storage.registry.instances.instances import Instances
from robyn_server.storage.registry.instances.search import search

ROWS = 5_000
_FILL = f"""
insert into mcp.agent_manifests (agent_id) values ('off'), ('on');
insert into mcp.agent_configurations (tenant_id, manifest_id, name, enabled)
select '{ORG_1}', m.id, m.agent_id, m.agent_id = 'on' from mcp.agent_manifests m;
insert into mcp.agent_instances (tenant_id, manifest_id, agent_id, instance_id, name, capabilities)
select c.tenant_id, c.manifest_id, c.name, 'i' || n, 'bot', '{{code}}'
  from mcp.agent_configurations c, generate_series(1, case c.name when 'on' then 20 else {ROWS} end) n;
insert into mcp.agent_leases (registration_id, tenant_id, manifest_id, epoch, lease_expires_at, last_health_check, lease_ttl)
select i.id, i.tenant_id, i.manifest_id, 1, now() + interval '1 h', now(), '1 h' from mcp.agent_instances i;
"""


@pytest.fixture
def cordons(driver: InstanceServiceDriver) -> CordonService:
    return CordonService(Instances(driver.registry.app), driver._changed)


async def _disable(registry: RegistryDatabase, *, enabled: bool = False) -> None:
    await registry.owner.execute("update mcp.agent_configurations set enabled = $1", enabled)


async def test_a_cordoned_instance_is_found_by_its_status_only(
    driver: InstanceServiceDriver, cordons: CordonService
) -> None:
    out = await driver.register("out", capabilities=("code",))
    await driver.register("in", capabilities=("code",))
    before = driver.changes
    await cordons.cordon(ADA, ORG_1, out.registration_id, "bad answers")
    assert driver.changes == before + 1
    for wanted in ({}, {"capabilities": ("code",)}, {"agent_id": "ide-agent"}, {"health": HealthStatus.HEALTHY}):
        assert await driver.search_ids(**wanted) == {"in"}, wanted
    assert await driver.search_ids(status=RegistrationStatus.ACTIVE) == {"in", "out"}
    shown = await driver.get(out)
    assert (shown["cordoned_by"], shown["cordon_reason"], shown["cordoned_at"] is None) == ("ada", "bad answers", False)
    await driver.register("out", capabilities=("code",))
    assert await driver.search_ids() == {"in"}, "it has registered again"
    await cordons.uncordon(ADA, ORG_1, out.registration_id)
    assert await driver.search_ids() == {"in", "out"}


async def test_instances_of_a_disabled_configuration_are_found_by_their_status_only(
    driver: InstanceServiceDriver,
) -> None:
    one = await driver.register("one", capabilities=("code",))
    await _disable(driver.registry)
    for wanted in ({}, {"capabilities": ("code",)}, {"agent_id": "ide-agent"}, {"health": HealthStatus.HEALTHY}):
        assert await driver.search_ids(**wanted) == set(), wanted
    assert await driver.search_ids(status=RegistrationStatus.ACTIVE, agent_id="ide-agent") == {"one"}
    answer = await driver.service.heartbeat(ADA, Heartbeat(ORG_1, one.registration_id, one.epoch))
    assert (answer.outcome, answer.enabled, answer.cordoned) == ("ok", False, False)
    await _disable(driver.registry, enabled=True)
    assert await driver.search_ids() == {"one"}


async def test_a_batch_tells_each_heartbeat_of_its_own_instance(
    driver: InstanceServiceDriver, cordons: CordonService
) -> None:
    plain, cordoned = await driver.register("plain"), await driver.register("cordoned")
    disabled = await driver.register("disabled", agent_id="bot")
    await cordons.cordon(ADA, ORG_1, cordoned.registration_id)
    await driver.registry.owner.execute("update mcp.agent_configurations set enabled = agent_id <> 'bot'")
    beats = [Heartbeat(ORG_1, each.registration_id, each.epoch) for each in (plain, cordoned, disabled)]
    answers = [await driver.service.heartbeat(ADA, each) for each in beats]
    assert [(each.enabled, each.cordoned) for each in answers] == [(True, False), (True, True), (False, False)]


async def test_only_members_cordon(driver: InstanceServiceDriver, cordons: CordonService) -> None:
    one = await driver.register()
    with pytest.raises(Forbidden):
        await cordons.cordon(MIA, ORG_1, one.registration_id)
    with pytest.raises(NotFound):
        await cordons.cordon(ADA, ORG_1, UUID(int=7))
    with pytest.raises(NotFound):
        await cordons.uncordon(ADA, ORG_1, UUID(int=7))
    assert await driver.search_ids() == {"c1"}


@pytest.fixture(scope="module")
async def fleet(postgres: str, template: str) -> AsyncIterator[RegistryDatabase]:
    async with filled_registry(postgres, template, _FILL, analysed=True) as registry:
        yield registry


async def test_a_search_for_a_disabled_agent_reads_none_of_its_instances(fleet: RegistryDatabase) -> None:
    async def cost(agent_id: str) -> int:
        query, filters = search(InstanceFilter(agent_id=agent_id), VersionRange())
        sql, *arguments = query.bind(organization_id=ORG_1, after=UUID(int=0), limit=11, **filters)
        async with fleet.app.acquire() as connection:
            return await touched(connection, sql, *arguments)

    assert await cost("off") < await cost("on") < 1000


async def test_a_batch_of_heartbeats_reads_no_instance_that_is_not_cordoned(fleet: RegistryDatabase) -> None:
    ids = await fleet.owner.fetch("select id from mcp.agent_instances limit 200")
    nothing = [None] * len(ids)
    sql, *arguments = load("registry/instances/leases")["record_heartbeats"].bind(
        organization_ids=[ORG_1] * len(ids),
        registration_ids=[each["id"] for each in ids],
        epochs=[1] * len(ids),
        healths=nothing,
        loads=nothing,
        metrics=nothing,
        keeper_id=None,
    )
    async with fleet.system.acquire() as connection, connection.transaction():
        plan = json.loads(await connection.fetchval(f"explain (analyze, timing off, format json) {sql}", *arguments))
    read = [each for each in _nodes(plan[0]["Plan"]) if each.get("Relation Name") == "agent_instances"]
    assert read and sum(each["Actual Rows"] * each["Actual Loops"] for each in read) == 0
    assert {each.get("Index Name") for each in read} == {"agent_instances_cordoned"}


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan] + [node for child in plan.get("Plans", ()) for node in _nodes(child)]
