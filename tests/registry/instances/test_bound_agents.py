"""A key that is bound to agents writes only their instances and configurations."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from instance_service_driver import ADA, InstanceServiceDriver
from registry_database import ORG_1

from robyn_server.core.access.principal import Principal
from robyn_server.core.errors import Forbidden, NotFound
from robyn_server.core.registry.instances import InstanceChange, Outcome, Registration
from robyn_server.registry import BrakeService, ConfigurationService, CordonService
from robyn_server.storage.registry.brakes import Brakes
from robyn_server.storage.registry.configurations import Configurations
from robyn_server.storage.registry.instances.instances import Instances

BOT = replace(ADA, identity="key:bot", agents=frozenset({"my-bot", "other-bot"}))
Write = Callable[[InstanceServiceDriver, Principal, Registration], Awaitable[Any]]


def _cordons(driver: InstanceServiceDriver) -> CordonService:
    return CordonService(Instances(driver.registry.app), lambda: None)


WRITES: dict[str, Write] = {
    "heartbeat": lambda driver, who, one: driver.heartbeat(one, who),
    "drain": lambda driver, who, one: driver.service.drain(who, ORG_1, one.registration_id, one.epoch),
    "update": lambda driver, who, one: driver.service.update(
        who, ORG_1, one.registration_id, one.epoch, InstanceChange(name="x")
    ),
    "disconnect": lambda driver, who, one: driver.service.disconnect(who, ORG_1, one.registration_id, one.epoch, 9),
    "cordon": lambda driver, who, one: _cordons(driver).cordon(who, ORG_1, one.registration_id),
    "uncordon": lambda driver, who, one: _cordons(driver).uncordon(who, ORG_1, one.registration_id),
    "deregister": lambda driver, who, one: driver.service.deregister(who, ORG_1, one.registration_id, one.epoch),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_an_instance_of_another_agent_is_refused_by_name(driver: InstanceServiceDriver, write: Write) -> None:
    own, foreign = await driver.register(who=BOT, agent_id="my-bot"), await driver.register(agent_id="ide-agent")
    before = await driver.get(foreign)
    with pytest.raises(Forbidden, match="'ide-agent'") as caught:
        await write(driver, BOT, foreign)
    assert (caught.value.code, caught.value.field) == ("agent_not_allowed", "agent_id")
    assert await driver.get(foreign) == before
    assert await write(driver, BOT, own) in {Outcome.OK, None}


async def test_a_registration_of_another_agent_makes_nothing(driver: InstanceServiceDriver) -> None:
    with pytest.raises(Forbidden, match="bound to my-bot, other-bot"):
        await driver.register(who=BOT, agent_id="ide-agent")
    assert await driver.registry.owner.fetchval("select count(*) from mcp.agent_configurations") == 0


async def test_an_instance_that_does_not_exist_is_not_found(driver: InstanceServiceDriver) -> None:
    with pytest.raises(NotFound):
        await driver.service.drain(BOT, ORG_1, UUID(int=9), 1)


async def test_reading_is_not_bound(driver: InstanceServiceDriver) -> None:
    foreign = await driver.register(agent_id="ide-agent")
    assert await driver.search_ids(who=BOT) == {"c1"}
    assert (await driver.service.get(BOT, ORG_1, foreign.registration_id))["agent_id"] == "ide-agent"


async def test_configurations_and_brakes_of_other_agents_are_refused(driver: InstanceServiceDriver) -> None:
    configurations = ConfigurationService(Configurations(driver.registry.app), lambda: None)
    await driver.register(agent_id="ide-agent")
    for refused in (
        configurations.upsert(BOT, ORG_1, "ide-agent", {"enabled": False}),
        configurations.update(BOT, ORG_1, "ide-agent", {"enabled": False}),
        configurations.delete(BOT, ORG_1, "ide-agent"),
        BrakeService(Brakes(driver.registry.app)).release(BOT, ORG_1, "ide-agent"),
    ):
        with pytest.raises(Forbidden, match="'ide-agent'"):
            await refused
    assert '"enabled" : true' in await configurations.get(BOT, ORG_1, "ide-agent")


async def test_beats_of_a_bound_key_ask_for_the_agent_once(driver: InstanceServiceDriver) -> None:
    one = await driver.register(who=BOT, agent_id="my-bot")
    instances = driver.service._instances
    asked: list[UUID] = []

    async def counted(organization_id: UUID, registration_id: UUID) -> str | None:
        asked.append(registration_id)
        return await Instances.find_agent_id(instances, organization_id, registration_id)

    instances.find_agent_id = counted  # type: ignore[method-assign]
    for _ in range(3):
        assert await driver.heartbeat(one, BOT) is Outcome.OK
    assert asked == [one.registration_id]
