"""Searching instances: filters, free slots, pages and version ranges."""

from __future__ import annotations

from uuid import UUID

import pytest
from instance_service_driver import ADA, InstanceServiceDriver
from registry_database import ORG_1

from robyn_server.core.errors import Invalid
from robyn_server.core.registry.instances import HealthStatus, InstanceFilter, Registration, RegistrationStatus


async def _fleet(driver: InstanceServiceDriver) -> dict[str, Registration]:
    made = {
        "a": await driver.register("a", capabilities=("code", "debug"), tags=("x",), zone="eu", version="1.2.0"),
        "b": await driver.register("b", capabilities=("code",), tags=("x", "y"), zone="us", version="2.0.0-rc.1"),
        "c": await driver.register("c", agent_id="bot", capabilities=("debug",), zone="eu", version="nightly"),
        "ill": await driver.register("ill", capabilities=("code",)),
        "new": await driver.register("new", capabilities=("code",), health=HealthStatus.STARTING),
        "draining": await driver.register("draining", capabilities=("code",)),
        "gone": await driver.register("gone", capabilities=("code",), zone="eu", version="1.0"),
        "lapsed": await driver.register("lapsed", capabilities=("code",)),
    }
    await driver.service.drain(ADA, ORG_1, made["draining"].registration_id, 1)
    await driver.service.deregister(ADA, ORG_1, made["gone"].registration_id, 1, "over")
    await driver.expire_lease(made["lapsed"])
    await driver.heartbeat(made["b"], health=HealthStatus.DEGRADED)
    await driver.heartbeat(made["ill"], health=HealthStatus.UNHEALTHY)
    return made


async def test_a_filter_finds_instances_that_match_all_conditions(driver: InstanceServiceDriver) -> None:
    await _fleet(driver)
    status = RegistrationStatus
    for wanted, expected in (
        ({}, {"a", "b", "c"}),
        ({"agent_id": "bot"}, {"c"}),
        ({"capabilities": ("code",)}, {"a", "b"}),
        ({"capabilities": ("code", "debug")}, {"a"}),
        ({"capabilities": ("code", "code")}, {"a", "b"}),
        ({"capabilities": ("cod",)}, set()),
        ({"tags": ("x", "y")}, {"b"}),
        ({"zone": "eu"}, {"a", "c"}),
        ({"zone": "eu", "capabilities": ("code",), "agent_id": "ide-agent", "tags": ("x",)}, {"a"}),
        ({"health": HealthStatus.DEGRADED}, {"b"}),
        ({"health": HealthStatus.DEGRADED, "zone": "eu"}, set()),
        ({"health": HealthStatus.UNHEALTHY}, {"ill"}),
        ({"health": HealthStatus.STARTING, "capabilities": ("code",)}, {"new"}),
        ({"health": HealthStatus.HEALTHY, "status": status.ACTIVE}, {"a", "c"}),
        ({"version": ">=1.2,<2"}, {"a", "b"}),
        ({"version": ">=1.2,<2-0"}, {"a"}),
        ({"version": "=1.2"}, {"a"}),
        ({"version": ">1.2", "capabilities": ("code",)}, {"b"}),
        ({"status": status.ACTIVE}, {"a", "b", "c", "ill", "new"}),
        ({"status": status.DRAINING}, {"draining"}),
        ({"status": status.DRAINING, "zone": "eu"}, set()),
        ({"status": status.INACTIVE}, {"gone", "lapsed"}),
        ({"status": status.INACTIVE, "zone": "eu", "version": "<1.1"}, {"gone"}),
        ({"status": status.INACTIVE, "capabilities": ("code",)}, {"gone", "lapsed"}),
        ({"status": status.INACTIVE, "agent_id": "bot"}, set()),
        ({"status": status.INACTIVE, "health": HealthStatus.HEALTHY}, set()),
        ({"health": HealthStatus.STALE}, {"lapsed"}),
        ({"health": HealthStatus.STALE, "zone": "eu"}, set()),
        ({"status": status.INACTIVE, "health": HealthStatus.STALE}, {"gone", "lapsed"}),
        ({"status": status.ACTIVE, "health": HealthStatus.STALE}, set()),
    ):
        assert await driver.search_ids(**wanted) == expected, wanted


async def test_free_slots_are_max_workload_minus_workload(driver: InstanceServiceDriver) -> None:
    a, b = await driver.register("a"), await driver.register("b")
    await driver.register("c", agent_id="unlimited")
    await driver.registry.owner.execute("update mcp.agent_configurations set max_workload = 5 where name = 'ide-agent'")
    await driver.heartbeat(a, load={"workload": 4})
    await driver.heartbeat(b, load={"workload": 7})
    for slots, expected in ((0, {"a", "c"}), (1, {"a", "c"}), (2, {"c"})):
        assert await driver.search_ids(free_slots=slots) == expected
    assert await driver.search_ids(free_slots=1, agent_id="ide-agent") == {"a"}


async def test_a_cursor_stays_valid_while_instances_come_and_go(driver: InstanceServiceDriver) -> None:
    stay = {f"s{n}" for n in range(8)}
    for name in stay:
        await driver.register(name)
    passing: list[Registration] = []
    seen: list[str] = []
    after: UUID | None = None
    while True:
        page = await driver.search_page(InstanceFilter(agent_id="ide-agent"), after, 2)
        seen += [each["instance_id"] for each in page["instances"]]
        if page["next_cursor"] is None:
            break
        after = UUID(page["next_cursor"])
        for one in passing:
            await driver.service.deregister(ADA, ORG_1, one.registration_id, 1)
        passing = [await driver.register(f"passing{len(seen)}-{n}") for n in range(2)]
    assert sorted(name for name in seen if name in stay) == sorted(stay)


@pytest.mark.parametrize(
    "version", ["1.x", "^1.2", "~1", "*", ">=1 <2", "1 - 2", "!=1", "", ",", ">=", "01.0", "=1||2"]
)
async def test_an_invalid_version_range_is_refused_by_name(driver: InstanceServiceDriver, version: str) -> None:
    with pytest.raises(Invalid) as caught:
        await driver.service.search(ADA, ORG_1, InstanceFilter(version=version), None, 2)
    assert caught.value.field == "version"
