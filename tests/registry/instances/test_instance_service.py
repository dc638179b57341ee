"""The use cases of instances: registrations, epochs and the outcomes of messages."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from instance_service_driver import ADA, InstanceServiceDriver
from registry_database import ORG_1

from robyn_server.core.errors import Conflict, Forbidden, Gone, Invalid, NotFound
from robyn_server.core.registry.instances import (
    HealthStatus,
    Heartbeat,
    InstanceChange,
    InstanceFilter,
    Outcome,
    RegistrationRequest,
)
from robyn_server.registry import InstanceService, register_agent_instance
from robyn_server.registry.outcomes import raise_for_outcome
from robyn_server.storage.registry.instances.instances import Instances

KEYS = {
    "registration_id", "tenant_id", "agent_id", "manifest_id", "instance_id", "name", "agent_type", "version", "capabilities", "tags",
    "zone", "registration_status", "health_status", "status_reason", "last_health_check", "lease_expires_at", "epoch", "workload",
    "load", "metrics", "connection_details", "runtime_config", "registered_by", "registered_at", "connected_at", "updated_at",
    "cordoned_at", "cordoned_by", "cordon_reason",
}  # fmt: skip


async def test_registering_again_keeps_the_registration_and_raises_the_epoch(driver: InstanceServiceDriver) -> None:
    first, again = await driver.register(), await driver.register()
    assert (first.is_new, first.epoch, again.is_new, again.epoch) == (True, 1, False, 2)
    assert (again.registration_id, again.config_id) == (first.registration_id, first.config_id)
    assert again.lease_ttl_seconds > again.heartbeat_interval_seconds > 0


async def test_registering_again_with_the_same_idempotency_key_keeps_the_epoch(driver: InstanceServiceDriver) -> None:
    first = await driver.register(idempotency_key="once")
    assert (await driver.register(idempotency_key="once")).epoch == first.epoch
    assert (await driver.register(idempotency_key="twice")).epoch == first.epoch + 1


async def test_a_registration_is_one_statement(driver: InstanceServiceDriver) -> None:
    class Counting:
        queries = 0

        async def fetchrow(self, query: str, *arguments: Any) -> Any:
            self.queries += 1
            return await driver.registry.app.fetchrow(query, *arguments)

    counting: Any = Counting()
    service = InstanceService(Instances(counting), driver.keeper, lambda: None)
    await service.register(ADA, ORG_1, RegistrationRequest(agent_id="bot", instance_id="x"))
    assert counting.queries == 1


async def test_on_change_is_called_after_every_change(driver: InstanceServiceDriver) -> None:
    made = await driver.register()
    await driver.service.update(ADA, ORG_1, made.registration_id, 1, InstanceChange(name="other"))
    await driver.service.drain(ADA, ORG_1, made.registration_id, 1)
    await driver.service.disconnect(ADA, ORG_1, made.registration_id, 1, 5)
    await driver.service.deregister(ADA, ORG_1, made.registration_id, 1)
    assert driver.changes == 5


async def test_64_concurrent_registrations_make_one_that_is_new_once(driver: InstanceServiceDriver) -> None:
    made = await asyncio.gather(*(driver.register() for _ in range(64)))
    assert sum(each.is_new for each in made) == 1
    assert len({each.registration_id for each in made}) == 1


async def test_an_instance_has_all_keys_and_its_registrant(driver: InstanceServiceDriver) -> None:
    shown = await driver.get(
        await driver.register(capabilities=("a",), tags=("t",), zone="eu", version="1.2", name="VS")
    )
    assert set(shown) == KEYS | {"jobs"}
    assert (shown["registered_by"], shown["registration_status"], shown["health_status"]) == (
        "ada",
        "active",
        "healthy",
    )
    assert (shown["name"], shown["capabilities"], shown["tenant_id"]) == ("VS", ["a"], str(ORG_1))
    assert shown["registered_at"].endswith("+00:00")


async def test_secrets_are_redacted_for_readers_and_kept_for_the_instance_itself(driver: InstanceServiceDriver) -> None:
    runtime, connection = {"api_key": "k", "size": 3}, {"url": "https://me:pass@host/x"}
    one = await driver.register(runtime_config=runtime, connection_details=connection, capabilities=("a",))
    (listed,) = (await driver.search_page(InstanceFilter(capabilities=("a",)), None, 5))["instances"]
    for shown in (await driver.get(one), listed):
        assert shown["runtime_config"] == {"api_key": "[secret]", "size": 3}
        assert shown["connection_details"] == {"url": "https://[secret]@host/x"}
    said = await driver.service.last_request(ADA, ORG_1, one.registration_id)
    assert (said.runtime_config, said.connection_details, said.capabilities) == (runtime, connection, ("a",))


async def test_a_reconnection_keeps_the_fields_it_does_not_give(driver: InstanceServiceDriver) -> None:
    await driver.register(capabilities=("a",), tags=("t",))
    one = await driver.register()
    assert ((await driver.get(one))["capabilities"], (await driver.get(one))["tags"]) == (["a"], ["t"])
    assert (await driver.get(await driver.register(capabilities=())))["capabilities"] == []


# Outcomes of messages


async def test_messages_of_an_older_epoch_change_nothing(driver: InstanceServiceDriver) -> None:
    old, new = await driver.register(), await driver.register()
    service, key = driver.service, (ADA, ORG_1, old.registration_id)
    assert await driver.heartbeat(new, epoch=old.epoch) is Outcome.SUPERSEDED
    assert await service.drain(*key, old.epoch) is Outcome.SUPERSEDED
    assert await service.deregister(*key, old.epoch) is Outcome.SUPERSEDED
    assert await service.disconnect(*key, old.epoch, 1) is Outcome.SUPERSEDED
    assert await service.update(*key, old.epoch, InstanceChange(name="x")) is Outcome.SUPERSEDED
    shown = await driver.get(new)
    assert (shown["registration_status"], shown["name"]) == ("active", "ide-agent")


async def test_an_ended_registration_must_register_and_an_unknown_one_is_not_found(
    driver: InstanceServiceDriver,
) -> None:
    one = await driver.register()
    service, key = driver.service, (ADA, ORG_1, one.registration_id, one.epoch)
    assert await service.deregister(*key, "bye") is Outcome.OK
    assert await service.deregister(*key) is Outcome.OK
    assert await driver.heartbeat(one) is Outcome.MUST_REGISTER
    assert await service.drain(*key) is Outcome.MUST_REGISTER
    assert await service.update(*key, InstanceChange(name="x")) is Outcome.MUST_REGISTER
    assert await service.drain(ADA, ORG_1, uuid4(), 1) is Outcome.UNKNOWN
    with pytest.raises(NotFound):
        await service.heartbeat(ADA, Heartbeat(ORG_1, uuid4(), 1))


async def test_an_epoch_that_never_existed_must_register(driver: InstanceServiceDriver) -> None:
    one = await driver.register()
    service, key = driver.service, (ADA, ORG_1, one.registration_id, one.epoch + 1)
    assert await driver.heartbeat(one, epoch=one.epoch + 1) is Outcome.MUST_REGISTER
    assert await driver.heartbeat(one, epoch=2**63 - 1) is Outcome.MUST_REGISTER
    assert await service.drain(*key) is Outcome.MUST_REGISTER
    assert await service.deregister(*key) is Outcome.MUST_REGISTER
    assert await service.disconnect(*key, 1) is Outcome.MUST_REGISTER
    assert await service.update(*key, InstanceChange(name="x")) is Outcome.MUST_REGISTER
    assert ((await driver.get(one))["registration_status"], await driver.heartbeat(one)) == ("active", Outcome.OK)


async def test_a_lookup_that_finds_nothing_is_one_statement(driver: InstanceServiceDriver) -> None:
    class Counting:
        queries = 0

        async def fetchval(self, query: str, *arguments: Any) -> Any:
            self.queries += 1
            return await driver.registry.app.fetchval(query, *arguments)

    counting: Any = Counting()
    service = InstanceService(Instances(counting), driver.keeper, lambda: None)
    with pytest.raises(NotFound):
        await service.get(ADA, ORG_1, uuid4())
    assert counting.queries == 1


async def test_an_update_changes_the_given_fields_and_is_found_at_once(driver: InstanceServiceDriver) -> None:
    one = await driver.register(capabilities=("a",), zone="eu")
    change = InstanceChange(capabilities=("b",), runtime_config={"x": 1})
    assert await driver.service.update(ADA, ORG_1, one.registration_id, one.epoch, change) is Outcome.OK
    shown = await driver.get(one)
    assert (shown["capabilities"], shown["runtime_config"], shown["zone"]) == (["b"], {"x": 1}, "eu")
    assert await driver.search_ids(capabilities=("a",)) == set()
    assert await driver.search_ids(capabilities=("b",)) == {"c1"}


async def test_a_disconnected_instance_is_found_until_its_grace_is_over(driver: InstanceServiceDriver) -> None:
    one = await driver.register()
    assert await driver.service.disconnect(ADA, ORG_1, one.registration_id, one.epoch, 30) is Outcome.OK
    assert await driver.search_ids() == {"c1"}
    assert await driver.service.disconnect(ADA, ORG_1, one.registration_id, one.epoch, 0) is Outcome.OK
    assert await driver.search_ids() == set()


def test_outcomes_other_than_ok_raise() -> None:
    raise_for_outcome(Outcome.OK)
    kinds = {Outcome.SUPERSEDED: Conflict, Outcome.MUST_REGISTER: Gone, Outcome.UNKNOWN: NotFound}
    for outcome, kind in kinds.items():
        with pytest.raises(kind):
            raise_for_outcome(outcome)


async def test_a_disabled_configuration_refuses_registrations(driver: InstanceServiceDriver) -> None:
    await driver.register()
    await driver.registry.owner.execute("update mcp.agent_configurations set enabled = false")
    with pytest.raises(Forbidden) as caught:
        await driver.register()
    assert caught.value.code == "configuration_disabled"


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("agent_id", {"agent_id": "6f1c8d2e-8f6b-4c0a-9a53-0c1f2b3d4e5f"}),
        ("instance_id", {"instance_id": "two\nlines"}),
        ("capabilities", {"capabilities": ("",)}),
        ("runtime_config", {"runtime_config": {"x": "y" * 65_536}}),
        ("health", {"health": HealthStatus.STALE}),
    ],
)
async def test_values_that_sql_refuses_are_invalid_and_name_the_field(
    driver: InstanceServiceDriver, field: str, said: dict[str, Any]
) -> None:
    with pytest.raises(Invalid) as caught:
        await driver.register(**said)
    assert caught.value.field == field


# The seed's call


async def test_the_seeds_call_works_on_a_pool_and_on_database_url(
    driver: InstanceServiceDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = await register_agent_instance(
        ORG_1, "ide-agent", "conn-1", {"kind": "ws"}, {"a": 1}, pool=driver.registry.app
    )
    assert result.is_new
    monkeypatch.setenv("DATABASE_URL", driver.registry.url)
    result = await register_agent_instance(ORG_1, "ide-agent", "conn-1", {"kind": "ws"}, {"a": 2})
    assert (result.is_new, result.epoch) == (False, 2)
    assert (await driver.service.last_request(ADA, ORG_1, result.registration_id)).runtime_config == {"a": 2}
