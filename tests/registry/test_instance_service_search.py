"""What a search of instances finds: filters, free slots, pages and ranges of versions."""

from __future__ import annotations

from uuid import UUID

import pytest
from instance_desk import ADA, Desk
from registry_sql import T1

from robyn_server.core.errors import Invalid
from robyn_server.core.registry import HealthStatus, InstanceFilter, Registered, RegistrationStatus


async def _fleet(desk: Desk) -> dict[str, Registered]:
    made = {
        "a": await desk.register("a", capabilities=("code", "debug"), tags=("x",), zone="eu", version="1.2.0"),
        "b": await desk.register("b", capabilities=("code",), tags=("x", "y"), zone="us", version="2.0.0-rc.1"),
        "c": await desk.register("c", agent_id="bot", capabilities=("debug",), zone="eu", version="nightly"),
        "ill": await desk.register("ill", capabilities=("code",)),
        "new": await desk.register("new", capabilities=("code",), health=HealthStatus.STARTING),
        "draining": await desk.register("draining", capabilities=("code",)),
        "gone": await desk.register("gone", capabilities=("code",), zone="eu", version="1.0"),
        "lapsed": await desk.register("lapsed", capabilities=("code",)),
    }
    await desk.service.drain(ADA, T1, made["draining"].registration_id, 1)
    await desk.service.deregister(ADA, T1, made["gone"].registration_id, 1, "over")
    await desk.lapse(made["lapsed"])
    await desk.beat(made["b"], health=HealthStatus.DEGRADED)
    await desk.beat(made["ill"], health=HealthStatus.UNHEALTHY)
    return made


async def test_a_filter_finds_what_fulfils_all_of_it(desk: Desk) -> None:
    await _fleet(desk)
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
        ({"health": HealthStatus.STALE}, {"gone", "lapsed"}),
        ({"status": status.ACTIVE, "health": HealthStatus.STALE}, set()),
    ):
        assert await desk.found(**wanted) == expected, wanted


async def test_free_slots_are_what_the_configuration_allows_and_the_work_leaves(desk: Desk) -> None:
    a, b = await desk.register("a"), await desk.register("b")
    await desk.register("c", agent_id="unlimited")
    await desk.registry.owner.execute("update mcp.agent_configurations set max_workload = 5 where name = 'ide-agent'")
    await desk.beat(a, load={"workload": 4})
    await desk.beat(b, load={"workload": 7})
    for slots, expected in ((0, {"a", "c"}), (1, {"a", "c"}), (2, {"c"})):
        assert await desk.found(free_slots=slots) == expected
    assert await desk.found(free_slots=1, agent_id="ide-agent") == {"a"}


async def test_a_pages_cursor_stands_while_instances_come_and_go(desk: Desk) -> None:
    stay = {f"s{n}" for n in range(8)}
    for name in stay:
        await desk.register(name)
    passing: list[Registered] = []
    seen: list[str] = []
    after: UUID | None = None
    while True:
        page = await desk.page(InstanceFilter(agent_id="ide-agent"), after, 2)
        seen += [each["instance_id"] for each in page["instances"]]
        if page["next_cursor"] is None:
            break
        after = UUID(page["next_cursor"])
        for one in passing:
            await desk.service.deregister(ADA, T1, one.registration_id, 1)
        passing = [await desk.register(f"passing{len(seen)}-{n}") for n in range(2)]
    assert sorted(name for name in seen if name in stay) == sorted(stay)


@pytest.mark.parametrize(
    "version", ["1.x", "^1.2", "~1", "*", ">=1 <2", "1 - 2", "!=1", "", ",", ">=", "01.0", "=1||2"]
)
async def test_a_range_that_is_not_understood_is_refused_by_name(desk: Desk, version: str) -> None:
    with pytest.raises(Invalid) as caught:
        await desk.service.search(ADA, T1, InstanceFilter(version=version), None, 2)
    assert caught.value.field == "version"
