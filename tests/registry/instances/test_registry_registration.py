"""mcp.register_agent_instance: insert-first, epochs, idempotency, refusals."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import asyncpg
import pytest
from registry_database import ORG_1, ORG_2, RegistryDatabase, acting_for


async def test_the_first_call_is_new_and_a_second_is_a_reconnection(registry: RegistryDatabase) -> None:
    first, second = await registry.register(), await registry.register()
    assert (first["is_new"], first["epoch"], second["is_new"], second["epoch"]) == (True, 1, False, 2)
    assert all(first[name] == second[name] for name in ("registration_id", "manifest_id", "config_id"))
    assert first["lease_ttl_seconds"] == 15
    assert 4.5 <= first["heartbeat_interval_seconds"] <= 5.5
    assert first["message"] != second["message"]


@pytest.mark.parametrize("keys", ["no keys", "distinct keys"])
async def test_64_first_registrations_at_once_make_one_row_and_one_is_new(
    registry: RegistryDatabase, keys: str
) -> None:
    more: list[dict[str, Any]] = [{} if keys == "no keys" else {"idempotency_key": f"k{n}"} for n in range(64)]
    rows = await asyncio.gather(*(registry.register(**each) for each in more))
    assert sum(row["is_new"] for row in rows) == 1
    assert sorted(row["epoch"] for row in rows) == list(range(1, 65))
    assert len({row["registration_id"] for row in rows}) == 1
    assert await registry.owner.fetchval("select count(*) from mcp.agent_instances") == 1


async def test_64_deliveries_of_one_call_use_one_epoch(registry: RegistryDatabase) -> None:
    rows = await asyncio.gather(*(registry.register(idempotency_key="same") for _ in range(64)))
    assert {(row["is_new"], row["epoch"]) for row in rows} == {(True, 1)}
    assert await registry.event_kinds() == ["registered"]


async def test_concurrent_calls_in_every_order_raise_no_error(registry: RegistryDatabase) -> None:
    chance = random.Random(5)
    calls = [(f"agent-{n}", f"pod-{m}") for n in range(16) for m in range(10)] * 3
    chance.shuffle(calls)
    rows = await asyncio.gather(*(registry.register(*call) for call in calls))
    new = Counter(call for call, row in zip(calls, rows, strict=True) if row["is_new"])
    assert len(new) == 160
    assert set(new.values()) == {1}


async def test_two_tenants_that_name_a_type_first_at_once_share_the_manifest_and_nothing_else(
    registry: RegistryDatabase,
) -> None:
    rows = await asyncio.gather(
        *(registry.register(instance_id="same", tenant=(ORG_1, ORG_2)[n % 2]) for n in range(32))
    )
    assert len({row["manifest_id"] for row in rows}) == 1
    assert len({row["config_id"] for row in rows}) == len({row["registration_id"] for row in rows}) == 2
    assert sum(row["is_new"] for row in rows) == 2


async def test_the_same_key_refreshes_the_lease_and_a_new_key_raises_the_epoch(registry: RegistryDatabase) -> None:
    first = await registry.register(idempotency_key="a")
    await registry.end("drain", first)
    again = await registry.register(idempotency_key="a", now=await registry.later(10))
    assert (again["epoch"], again["is_new"]) == (1, True)
    assert await registry.get_statuses(first, await registry.later(20)) == ("draining", "healthy"), (
        "a late repeat undoes no drain"
    )
    assert (await registry.register(idempotency_key="b"))["epoch"] == 2


async def test_an_idempotency_key_does_not_revive_an_ended_registration(registry: RegistryDatabase) -> None:
    first = await registry.register(idempotency_key="a")
    await registry.end("deregister", first)
    assert (await registry.register(idempotency_key="a"))["epoch"] == 2


async def test_a_repeat_revives_a_stale_instance(registry: RegistryDatabase) -> None:
    first = await registry.register(idempotency_key="a")
    await registry.sweep(await registry.later(20))
    await registry.register(idempotency_key="a")
    assert await registry.get_statuses(first) == ("active", "healthy")
    assert await registry.event_kinds() == ["registered", "stale", "revived"]


async def test_a_disabled_configuration_refuses_and_nothing_is_written(registry: RegistryDatabase) -> None:
    row = await registry.register()
    await registry.owner.execute("update mcp.agent_configurations set enabled = false")
    before = await registry.owner.fetch("select * from mcp.agent_registrations")
    for instance in ("c1", "c2"):
        with pytest.raises(asyncpg.PostgresError) as caught:
            await registry.register(instance_id=instance)
        assert caught.value.sqlstate == "AH001"
    assert await registry.owner.fetch("select * from mcp.agent_registrations") == before
    await registry.end("deregister", row)
    with pytest.raises(asyncpg.PostgresError):
        await registry.register()
    assert await registry.get_statuses(row) == ("inactive", "stale")


async def test_a_null_name_is_the_agent_id_and_nulls_are_empty_documents(registry: RegistryDatabase) -> None:
    call = "select registration_id from mcp.register_agent_instance($1, 'bot', 'x', null, null, 'null')"
    await registry.app.execute(call, ORG_1)
    row = await registry.row("select name, connection_details, runtime_config from mcp.agent_registrations")
    assert tuple(row) == ("bot", "{}", "{}")


async def test_a_name_makes_the_configurations_name_only_once(registry: RegistryDatabase) -> None:
    call = "select from mcp.register_agent_instance($1, 'bot', $2, $3, '{}', '{}')"
    await registry.app.execute(call, ORG_1, "x", "First")
    await registry.app.execute(call, ORG_1, "y", "Second")
    assert await registry.owner.fetchval("select string_agg(name, ',') from mcp.agent_configurations") == "First"
    names = "select array_agg(name order by instance_id) from mcp.agent_instances"
    assert await registry.owner.fetchval(names) == ["First", "Second"]


async def test_a_reconnection_keeps_the_fields_it_does_not_give(registry: RegistryDatabase) -> None:
    await registry.register(capabilities=["a"], version="1.2.3", zone="eu", tags=["t"], agent_type="ide")
    await registry.register()
    row = await registry.row("select capabilities, version, zone, tags, agent_type from mcp.agent_registrations")
    assert tuple(row) == (["a"], "1.2.3", "eu", ["t"], "ide")
    await registry.register(capabilities=[])
    assert await registry.owner.fetchval("select capabilities from mcp.agent_registrations") == []


BAD: list[tuple[str, Any]] = [
    ("agent_id", ""),
    ("agent_id", "6f1c8d2e-8f6b-4c0a-9a53-0c1f2b3d4e5f"),
    ("agent_id", "6F1C8D2E8F6B4C0A9A530C1F2B3D4E5F"),
    ("agent_id", "{6f1c8d2e-8f6b-4c0a-9a53-0c1f2b3d4e5f}"),
    ("agent_id", " padded"),
    ("agent_id", "two\nlines"),
    ("agent_id", "\u200binvisible"),
    ("agent_id", "soft\u00adhyphen"),
    ("agent_id", "blank\u3164"),
    ("agent_id", "tag\U000e0061"),
    ("agent_id", "cafe\u0301"),
    ("instance_id", "pod\u202ex"),
    ("instance_id", "pod\u200b"),
    ("agent_id", "12345"),
    ("agent_id", "x" * 129),
    ("agent_id", None),
    ("instance_id", ""),
    ("instance_id", "x" * 256),
    ("instance_id", None),
    ("name", "x" * 256),
    ("connection_details", "[]"),
    ("runtime_config", '{"x": "' + "y" * 65_536 + '"}'),
    ("capabilities", ["c"] * 65),
    ("capabilities", ["c" * 129]),
    ("capabilities", [None]),
    ("tags", [""]),
    ("version", ""),
    ("zone", ""),
    ("idempotency_key", ""),
    ("health", "stale"),
    ("health", "fine"),
    ("tenant_id", None),
]


@pytest.mark.parametrize(("field", "value"), BAD)
async def test_a_bad_value_is_refused_and_its_field_named(registry: RegistryDatabase, field: str, value: Any) -> None:
    given = {
        "tenant_id": ORG_1,
        "agent_id": "bot",
        "instance_id": "x",
        "name": "n",
        "connection_details": "{}",
        "runtime_config": "{}",
    }
    given[field] = value
    names = ", ".join(f"{name} => ${number}" for number, name in enumerate(given, start=1))
    with pytest.raises(asyncpg.InvalidParameterValueError, match=f"^{field} "):
        await registry.app.execute(f"select mcp.register_agent_instance({names})", *given.values())
    assert await registry.owner.fetchval("select count(*) from mcp.agent_manifests") == 0


async def test_a_transaction_of_one_tenant_does_nothing_for_another(registry: RegistryDatabase) -> None:
    async with acting_for(registry.app, ORG_1) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("select mcp.register_agent_instance($1, 'bot', 'x', null, '{}', '{}')", ORG_2)


async def test_a_manifest_made_by_a_registration_carries_nothing_but_its_identity(registry: RegistryDatabase) -> None:
    await registry.register(capabilities=["root"], version="9.9.9", agent_type="evil")
    row = await registry.row(
        "select agent_type, name, description, version, capabilities, published from mcp.agent_manifests"
    )
    assert tuple(row) == (None, None, None, None, [], False)


async def test_versions_sort_as_semver_says(registry: RegistryDatabase) -> None:
    ordered = ["0.9", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11",
               "1.0.0-rc.1", "1.0.0", "v1.0.1+build", "1.2", "1.10.0", "2", "10.0.0"]  # fmt: skip
    keys = await registry.owner.fetchval(
        "select array_agg(mcp.version_key(v) order by n) from unnest($1::text[]) with ordinality u (v, n)", ordered
    )
    assert keys == sorted(keys) and len(set(keys)) == len(keys)
    assert await registry.owner.fetchval("select mcp.version_key('nightly')") is None
    assert await registry.owner.fetchval("select mcp.version_key('1.2') = mcp.version_key('v1.2.0+x')")


async def test_deleting_a_configuration_deletes_its_instances_under_heartbeats(registry: RegistryDatabase) -> None:
    rows = await asyncio.gather(*(registry.register(instance_id=f"i{n}") for n in range(40)))
    ids, epochs = [row["registration_id"] for row in rows], [row["epoch"] for row in rows]

    async def flush(turn: int) -> None:
        shuffled = random.Random(turn).sample(ids, len(ids))
        await registry.system.execute("select from mcp.heartbeat_agent_instances($1, $2)", shuffled, epochs)

    async def delete() -> None:
        async with acting_for(registry.app, ORG_1) as connection:
            await connection.execute("delete from mcp.agent_configurations where tenant_id = $1", ORG_1)

    await asyncio.gather(*(flush(n) for n in range(4)), delete(), *(flush(n) for n in range(4)))
    assert await registry.owner.fetchval("select count(*) from mcp.agent_leases") == 0
    assert (await registry.event_kinds()).count("deleted") == 40
