"""The use cases of instances: whose they are, what a filter finds, and what became of a message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from registry_sql import T1, T2, Registry

from robyn_server.core.errors import BadRequest, Conflict, Forbidden, Gone, Invalid, NotFound
from robyn_server.core.principal import LOCAL, Principal
from robyn_server.core.registry import (
    Beat,
    HealthStatus,
    InstanceChange,
    InstanceFilter,
    Outcome,
    Registered,
    Registering,
    RegistrationStatus,
)
from robyn_server.registry import InstanceService, Tenants, register_agent_instance
from robyn_server.registry.outcomes import ensure_done
from robyn_server.runtime.lease_keeper import LeaseKeeper
from robyn_server.storage.instances import Instances
from robyn_server.storage.leases import Leases

ADA = Principal("ada", organizations=frozenset({T1}))
MIA = Principal("mia", organizations=frozenset({T2}))
BOTH = Principal("both", organizations=frozenset({T1, T2}))

KEYS = {
    "registration_id", "tenant_id", "agent_id", "manifest_id", "instance_id", "name", "agent_type", "version", "capabilities", "tags",
    "zone", "registration_status", "health_status", "status_reason", "last_health_check", "lease_expires_at", "epoch", "workload",
    "load", "metrics", "connection_details", "runtime_config", "registered_by", "registered_at", "connected_at", "updated_at",
}  # fmt: skip


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

    async def found(self, who: Principal = ADA, tenant: UUID = T1, **wanted: Any) -> set[str]:
        """The instance_ids of what is found in pages of two."""
        names: list[str] = []
        after: UUID | None = None
        while True:
            page = await self.service.search(who, tenant, InstanceFilter(**wanted), after, 2)
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


@pytest.fixture
async def desk(registry: Registry) -> AsyncIterator[Desk]:
    keeper = LeaseKeeper(Leases(registry.system), "test", gather_seconds=0.001)
    keeper.start()
    yield Desk(registry, keeper)
    await keeper.stop()


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
    (listed,) = (await desk.service.search(ADA, T1, InstanceFilter(capabilities=("a",)), None, 5))["instances"]
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


# What is found


async def _fleet(desk: Desk) -> dict[str, Registered]:
    made = {
        "a": await desk.register("a", capabilities=("code", "debug"), tags=("x",), zone="eu", version="1.2.0"),
        "b": await desk.register("b", capabilities=("code",), tags=("x", "y"), zone="us", version="2.0.0-rc.1"),
        "c": await desk.register("c", agent_id="bot", capabilities=("debug",), zone="eu", version="nightly"),
        "draining": await desk.register("draining", capabilities=("code",)),
        "gone": await desk.register("gone", capabilities=("code",), zone="eu", version="1.0"),
        "lapsed": await desk.register("lapsed", capabilities=("code",)),
    }
    await desk.service.drain(ADA, T1, made["draining"].registration_id, 1)
    await desk.service.deregister(ADA, T1, made["gone"].registration_id, 1, "over")
    await desk.lapse(made["lapsed"])
    await desk.beat(made["b"], health=HealthStatus.DEGRADED)
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
        ({"version": ">=1.2,<2"}, {"a", "b"}),
        ({"version": ">=1.2,<2-0"}, {"a"}),
        ({"version": "=1.2"}, {"a"}),
        ({"version": ">1.2", "capabilities": ("code",)}, {"b"}),
        ({"status": status.ACTIVE}, {"a", "b", "c"}),
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
        page = await desk.service.search(ADA, T1, InstanceFilter(agent_id="ide-agent"), after, 2)
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


async def test_an_epoch_that_has_never_been_is_named(desk: Desk) -> None:
    one = await desk.register()
    with pytest.raises(Invalid) as caught:
        await desk.service.drain(ADA, T1, one.registration_id, one.epoch + 1)
    assert caught.value.field == "epoch"


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


# Two tenants


async def test_two_tenants_do_not_meet_by_the_same_instance_id(desk: Desk) -> None:
    mine, theirs = await desk.register(), await desk.register(who=MIA, tenant=T2, capabilities=("theirs",))
    assert mine.registration_id != theirs.registration_id and theirs.is_new
    await desk.service.deregister(MIA, T2, theirs.registration_id, 1)
    assert await desk.found() == {"c1"}
    assert await desk.found(capabilities=("theirs",)) == set()
    assert await desk.found(status=RegistrationStatus.INACTIVE) == set()


async def test_another_tenants_registration_does_not_exist(desk: Desk) -> None:
    theirs = await desk.register("theirs", who=MIA, tenant=T2)
    service, key = desk.service, (ADA, T1, theirs.registration_id, theirs.epoch)
    before = await service.get(MIA, T2, theirs.registration_id)
    for asked in (
        service.get(ADA, T1, theirs.registration_id),
        service.said(ADA, T1, theirs.registration_id),
        service.heartbeat(ADA, Beat(T1, theirs.registration_id, theirs.epoch, HealthStatus.UNHEALTHY)),
    ):
        with pytest.raises(NotFound):
            await asked
    assert await service.drain(*key) is Outcome.UNKNOWN
    assert await service.deregister(*key) is Outcome.UNKNOWN
    assert await service.disconnect(*key, 0) is Outcome.UNKNOWN
    assert await service.update(*key, InstanceChange(name="mine")) is Outcome.UNKNOWN
    assert await service.get(MIA, T2, theirs.registration_id) == before


async def test_who_is_no_member_does_nothing_whatever_is_asked(desk: Desk) -> None:
    theirs = await desk.register("theirs", who=MIA, tenant=T2)
    service, key = desk.service, (ADA, T2, theirs.registration_id, theirs.epoch)
    for asked in (
        desk.register(tenant=T2),
        service.heartbeat(ADA, Beat(T2, theirs.registration_id, theirs.epoch)),
        service.drain(*key),
        service.deregister(*key),
        service.disconnect(*key, 0),
        service.update(*key, InstanceChange(name="mine")),
        service.get(ADA, T2, theirs.registration_id),
        service.said(ADA, T2, theirs.registration_id),
        service.search(ADA, T2, InstanceFilter(), None, 5),
    ):
        with pytest.raises(Forbidden):
            await asked


def test_the_tenant_is_the_one_named_or_the_only_one_and_never_a_guess() -> None:
    tenants = Tenants()
    assert tenants(ADA) == tenants(ADA, T1) == T1
    assert tenants(BOTH.in_organization(T2)) == T2
    assert tenants(BOTH.in_organization(T2), T1) == T1
    with pytest.raises(Forbidden):
        tenants(ADA, T2)
    for nobody in (BOTH, Principal("none"), LOCAL):
        with pytest.raises(BadRequest) as caught:
            tenants(nobody)
        assert caught.value.code == "organization_required"
    assert Tenants(T2)(LOCAL) == T2
    assert Tenants(T2)(LOCAL, T1) == T1
    with pytest.raises(BadRequest):
        Tenants(T2)(Principal("none"))


# The seed's call


async def test_the_seeds_call_works_on_a_pool_and_on_database_url(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    result = await register_agent_instance(T1, "ide-agent", "conn-1", {"kind": "ws"}, {"a": 1}, pool=desk.registry.app)
    assert result.is_new
    monkeypatch.setenv("DATABASE_URL", desk.registry.url)
    result = await register_agent_instance(T1, "ide-agent", "conn-1", {"kind": "ws"}, {"a": 2})
    assert (result.is_new, result.epoch) == (False, 2)
    assert (await desk.service.said(ADA, T1, result.registration_id)).runtime_config == {"a": 2}
