"""The use cases of instances: a registration and its lives, and what became of a message."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from instance_desk import ADA, Desk
from registry_sql import T1

from robyn_server.core.errors import Conflict, Forbidden, Gone, Invalid, NotFound
from robyn_server.core.registry import Beat, HealthStatus, InstanceChange, InstanceFilter, Outcome, Registering
from robyn_server.registry import InstanceService, register_agent_instance
from robyn_server.registry.outcomes import ensure_done
from robyn_server.storage.instances import Instances

KEYS = {
    "registration_id", "tenant_id", "agent_id", "manifest_id", "instance_id", "name", "agent_type", "version", "capabilities", "tags",
    "zone", "registration_status", "health_status", "status_reason", "last_health_check", "lease_expires_at", "epoch", "workload",
    "load", "metrics", "connection_details", "runtime_config", "registered_by", "registered_at", "connected_at", "updated_at",
}  # fmt: skip


async def test_registering_again_is_the_same_registration_in_a_new_life(desk: Desk) -> None:
    first, again = await desk.register(), await desk.register()
    assert (first.is_new, first.epoch, again.is_new, again.epoch) == (True, 1, False, 2)
    assert (again.registration_id, again.config_id) == (first.registration_id, first.config_id)
    assert again.lease_ttl_seconds > again.heartbeat_interval_seconds > 0


async def test_registering_again_with_an_idempotency_key_starts_no_new_life(desk: Desk) -> None:
    first = await desk.register(idempotency_key="once")
    assert (await desk.register(idempotency_key="once")).epoch == first.epoch
    assert (await desk.register(idempotency_key="twice")).epoch == first.epoch + 1


async def test_a_registration_is_one_statement(desk: Desk) -> None:
    class Counting:
        queries = 0

        async def fetchrow(self, query: str, *arguments: Any) -> Any:
            self.queries += 1
            return await desk.registry.app.fetchrow(query, *arguments)

    counting: Any = Counting()
    service = InstanceService(Instances(counting), desk.keeper, lambda: None)
    await service.register(ADA, T1, Registering(agent_id="bot", instance_id="x"))
    assert counting.queries == 1


async def test_whoever_publishes_is_told_of_every_change(desk: Desk) -> None:
    made = await desk.register()
    await desk.service.update(ADA, T1, made.registration_id, 1, InstanceChange(name="other"))
    await desk.service.drain(ADA, T1, made.registration_id, 1)
    await desk.service.disconnect(ADA, T1, made.registration_id, 1, 5)
    await desk.service.deregister(ADA, T1, made.registration_id, 1)
    assert desk.changes == 5


async def test_64_at_once_make_one_registration_that_is_new_once(desk: Desk) -> None:
    made = await asyncio.gather(*(desk.register() for _ in range(64)))
    assert sum(each.is_new for each in made) == 1
    assert len({each.registration_id for each in made}) == 1


async def test_an_instance_shows_all_keys_and_who_registered_it(desk: Desk) -> None:
    shown = await desk.get(await desk.register(capabilities=("a",), tags=("t",), zone="eu", version="1.2", name="VS"))
    assert set(shown) == KEYS
    assert (shown["registered_by"], shown["registration_status"], shown["health_status"]) == (
        "ada",
        "active",
        "healthy",
    )
    assert (shown["name"], shown["capabilities"], shown["tenant_id"]) == ("VS", ["a"], str(T1))
    assert shown["registered_at"].endswith("+00:00")


async def test_secrets_are_struck_out_for_readers_and_kept_for_the_instance_itself(desk: Desk) -> None:
    runtime, connection = {"api_key": "k", "size": 3}, {"url": "https://me:pass@host/x"}
    one = await desk.register(runtime_config=runtime, connection_details=connection, capabilities=("a",))
    (listed,) = (await desk.page(InstanceFilter(capabilities=("a",)), None, 5))["instances"]
    for shown in (await desk.get(one), listed):
        assert shown["runtime_config"] == {"api_key": "[secret]", "size": 3}
        assert shown["connection_details"] == {"url": "https://[secret]@host/x"}
    said = await desk.service.said(ADA, T1, one.registration_id)
    assert (said.runtime_config, said.connection_details, said.capabilities) == (runtime, connection, ("a",))


async def test_what_a_reconnection_leaves_unsaid_stays(desk: Desk) -> None:
    await desk.register(capabilities=("a",), tags=("t",))
    one = await desk.register()
    assert ((await desk.get(one))["capabilities"], (await desk.get(one))["tags"]) == (["a"], ["t"])
    assert (await desk.get(await desk.register(capabilities=())))["capabilities"] == []


# What became of a message


async def test_what_an_older_life_says_changes_nothing(desk: Desk) -> None:
    old, new = await desk.register(), await desk.register()
    service, key = desk.service, (ADA, T1, old.registration_id)
    assert await desk.beat(new, epoch=old.epoch) is Outcome.SUPERSEDED
    assert await service.drain(*key, old.epoch) is Outcome.SUPERSEDED
    assert await service.deregister(*key, old.epoch) is Outcome.SUPERSEDED
    assert await service.disconnect(*key, old.epoch, 1) is Outcome.SUPERSEDED
    assert await service.update(*key, old.epoch, InstanceChange(name="x")) is Outcome.SUPERSEDED
    shown = await desk.get(new)
    assert (shown["registration_status"], shown["name"]) == ("active", "ide-agent")


async def test_who_is_over_must_register_and_who_never_was_is_not_found(desk: Desk) -> None:
    one = await desk.register()
    service, key = desk.service, (ADA, T1, one.registration_id, one.epoch)
    assert await service.deregister(*key, "bye") is Outcome.OK
    assert await service.deregister(*key) is Outcome.OK
    assert await desk.beat(one) is Outcome.MUST_REGISTER
    assert await service.drain(*key) is Outcome.MUST_REGISTER
    assert await service.update(*key, InstanceChange(name="x")) is Outcome.MUST_REGISTER
    assert await service.drain(ADA, T1, uuid4(), 1) is Outcome.UNKNOWN
    with pytest.raises(NotFound):
        await service.heartbeat(ADA, Beat(T1, uuid4(), 1))


async def test_an_epoch_that_has_never_been_must_register_whatever_it_says(desk: Desk) -> None:
    one = await desk.register()
    service, key = desk.service, (ADA, T1, one.registration_id, one.epoch + 1)
    assert await desk.beat(one, epoch=one.epoch + 1) is Outcome.MUST_REGISTER
    assert await desk.beat(one, epoch=2**63 - 1) is Outcome.MUST_REGISTER
    assert await service.drain(*key) is Outcome.MUST_REGISTER
    assert await service.deregister(*key) is Outcome.MUST_REGISTER
    assert await service.disconnect(*key, 1) is Outcome.MUST_REGISTER
    assert await service.update(*key, InstanceChange(name="x")) is Outcome.MUST_REGISTER
    assert ((await desk.get(one))["registration_status"], await desk.beat(one)) == ("active", Outcome.OK)


async def test_a_lookup_that_finds_nothing_is_one_statement(desk: Desk) -> None:
    class Counting:
        queries = 0

        async def fetchval(self, query: str, *arguments: Any) -> Any:
            self.queries += 1
            return await desk.registry.app.fetchval(query, *arguments)

    counting: Any = Counting()
    service = InstanceService(Instances(counting), desk.keeper, lambda: None)
    with pytest.raises(NotFound):
        await service.get(ADA, T1, uuid4())
    assert counting.queries == 1


async def test_an_update_changes_what_it_names_and_is_found_at_once(desk: Desk) -> None:
    one = await desk.register(capabilities=("a",), zone="eu")
    change = InstanceChange(capabilities=("b",), runtime_config={"x": 1})
    assert await desk.service.update(ADA, T1, one.registration_id, one.epoch, change) is Outcome.OK
    shown = await desk.get(one)
    assert (shown["capabilities"], shown["runtime_config"], shown["zone"]) == (["b"], {"x": 1}, "eu")
    assert await desk.found(capabilities=("a",)) == set()
    assert await desk.found(capabilities=("b",)) == {"c1"}


async def test_a_disconnected_instance_is_found_until_its_grace_is_over(desk: Desk) -> None:
    one = await desk.register()
    assert await desk.service.disconnect(ADA, T1, one.registration_id, one.epoch, 30) is Outcome.OK
    assert await desk.found() == {"c1"}
    assert await desk.service.disconnect(ADA, T1, one.registration_id, one.epoch, 0) is Outcome.OK
    assert await desk.found() == set()


def test_outcomes_are_errors_where_nothing_was_done() -> None:
    ensure_done(Outcome.OK)
    kinds = {Outcome.SUPERSEDED: Conflict, Outcome.MUST_REGISTER: Gone, Outcome.UNKNOWN: NotFound}
    for outcome, kind in kinds.items():
        with pytest.raises(kind):
            ensure_done(outcome)


async def test_a_disabled_configuration_refuses_and_says_so(desk: Desk) -> None:
    await desk.register()
    await desk.registry.owner.execute("update mcp.agent_configurations set enabled = false")
    with pytest.raises(Forbidden) as caught:
        await desk.register()
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
async def test_what_sql_refuses_is_invalid_and_names_the_field(desk: Desk, field: str, said: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as caught:
        await desk.register(**said)
    assert caught.value.field == field


# The seed's call


async def test_the_seeds_call_works_on_a_pool_and_on_database_url(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    result = await register_agent_instance(T1, "ide-agent", "conn-1", {"kind": "ws"}, {"a": 1}, pool=desk.registry.app)
    assert result.is_new
    monkeypatch.setenv("DATABASE_URL", desk.registry.url)
    result = await register_agent_instance(T1, "ide-agent", "conn-1", {"kind": "ws"}, {"a": 2})
    assert (result.is_new, result.epoch) == (False, 2)
    assert (await desk.service.said(ADA, T1, result.registration_id)).runtime_config == {"a": 2}
