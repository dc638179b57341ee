"""The event log is ordered and resumable, and holds no secrets."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import asyncpg
import orjson
import pytest
from registry_database import ORG_1, ORG_2, RegistryDatabase, acting_for
from servers.live_server import until

PUBLISH = "select mcp.publish_agent_events($1)"
POSITIONS = "select array_agg(position order by position) from mcp.agent_events"


async def test_every_change_is_one_event_in_order(registry: RegistryDatabase) -> None:
    row = await registry.register()
    await registry.heartbeat(row)
    await registry.heartbeat(row, health="degraded")
    await registry.end("drain", row)
    await registry.end("disconnect", row, 5.0)
    row = await registry.register()
    await registry.sweep(await registry.later(20))
    await registry.heartbeat(row)
    await registry.end("deregister", row)
    await registry.sweep(await registry.later(90_000))
    assert await registry.event_kinds() == [
        "registered", "health", "draining", "disconnected", "reconnected", "stale", "revived", "deregistered", "deleted",
    ]  # fmt: skip


async def test_a_batch_makes_events_for_changes_only(registry: RegistryDatabase) -> None:
    rows = [await registry.register(instance_id=f"i{n}") for n in range(3)]
    arguments = [row["registration_id"] for row in rows], [1] * 3
    await registry.system.execute("select from mcp.heartbeat_agent_instances($1, $2)", *arguments)
    await registry.sweep(await registry.later(20))
    await registry.system.execute("select from mcp.heartbeat_agent_instances($1, $2)", *arguments)
    await registry.system.execute(
        "select from mcp.heartbeat_agent_instances($1, $2, array['degraded', null, 'healthy'])", *arguments
    )
    assert await registry.event_kinds() == ["registered"] * 3 + ["stale"] * 3 + ["revived"] * 3 + ["health"]


async def test_an_event_shows_the_instance_as_the_view_does_without_secrets(registry: RegistryDatabase) -> None:
    details = (
        '{"url": "https://me:pw@host/x", "api_key": "dev-key", "deep": [{"Authorization": "Bearer x", "port": 1}]}'
    )
    call = "select from mcp.register_agent_instance($1, 'bot', 'x', 'Bot', $2, '{}')"
    await registry.app.execute(call, ORG_1, details)
    await registry.event_kinds()
    event = orjson.loads(await registry.owner.fetchval("select instance from mcp.agent_events"))
    columns = await registry.owner.fetch("select * from mcp.agent_registrations limit 1")
    assert set(event) == set(columns[0].keys()) - {"version_key"}
    assert (event["registration_status"], event["health_status"], event["agent_id"]) == ("active", "healthy", "bot")
    assert event["connection_details"] == {
        "url": "https://[secret]@host/x",
        "api_key": "[secret]",
        "deep": [{"Authorization": "[secret]", "port": 1}],
    }


async def test_events_of_deleted_instances_have_the_same_form(registry: RegistryDatabase) -> None:
    await registry.register()
    async with acting_for(registry.app, ORG_1) as connection:
        await connection.execute("delete from mcp.agents")
    assert await registry.event_kinds() == ["registered", "deleted"]
    shapes = await registry.owner.fetch(
        "select distinct (select array_agg(k order by k) from jsonb_object_keys(instance) k) from mcp.agent_events"
    )
    assert len(shapes) == 1


async def test_times_of_events_have_six_digits_as_everywhere(registry: RegistryDatabase) -> None:
    await registry.register()
    for column in ("registered_at", "connected_at"):
        await registry.owner.execute(f"update mcp.agent_instances set {column} = '2026-11-22 09:56:27.88+00'")
    await registry.register()
    await registry.owner.execute("delete from mcp.agent_instances")
    await registry.event_kinds()
    rows = await registry.owner.fetch("select instance from mcp.agent_events order by position offset 1")
    told = [orjson.loads(row["instance"]) for row in rows]
    assert {event["registered_at"] for event in told} == {"2026-11-22T09:56:27.880000+00:00"}
    moments = ("last_health_check", "lease_expires_at", "connected_at", "updated_at")
    given = {name: event[name] for event in told for name in moments if event[name] is not None}
    assert sorted(given) == sorted(moments)
    assert {len(moment) for moment in given.values()} == {len("2026-11-22T09:56:27.880000+00:00")}


async def test_a_late_commit_is_published_late_and_not_missed(registry: RegistryDatabase) -> None:
    async with acting_for(registry.app, ORG_1) as connection:
        await connection.execute("select mcp.register_agent_instance($1, 'slow', 'x', null, '{}', '{}')", ORG_1)
        await registry.register("fast")
        assert await registry.system.fetchval(PUBLISH, 1000) == 1
    assert await registry.system.fetchval(PUBLISH, 1000) == 2
    assert [
        row[0] for row in await registry.owner.fetch("select agent_id from mcp.agent_events order by position")
    ] == ["fast", "slow"]


async def test_publishers_and_writers_at_once_leave_no_gap_and_a_reader_misses_nothing(
    registry: RegistryDatabase,
) -> None:
    seen: list[int] = []

    async def read() -> bool:
        after = seen[-1] if seen else 0
        rows = await registry.owner.fetch(
            "select position from mcp.agent_events where position > $1 order by position", after
        )
        seen.extend(row["position"] for row in rows)
        await registry.system.execute(PUBLISH, 7)
        return len(seen) == 120

    writers = asyncio.gather(*(registry.register(f"a{n % 7}", f"i{n}") for n in range(120)))
    publishers = asyncio.gather(*(registry.system.execute(PUBLISH, 3) for _ in range(40)))
    await until(read)
    await asyncio.gather(writers, publishers)
    assert seen == list(range(1, 121))


async def test_events_of_one_instance_keep_their_order(registry: RegistryDatabase) -> None:
    await asyncio.gather(*(registry.register() for _ in range(30)))
    await registry.event_kinds()
    rows = await registry.owner.fetch(
        "select (instance ->> 'epoch')::integer as epoch from mcp.agent_events order by position"
    )
    assert all(one["epoch"] + 1 == two["epoch"] for one, two in pairwise(rows))


async def test_a_change_notifies_once_and_an_unchanged_heartbeat_does_not(registry: RegistryDatabase) -> None:
    heard: list[str] = []
    listener = await asyncpg.connect(registry.url)
    await listener.add_listener("agent_events", lambda *message: heard.append(message[3]))
    await registry.register(instance_id="of the server: it publishes after the commit")
    row = await registry.row(
        "select * from mcp.register_agent_instance($1, 'ide-agent', 'c1', null, null, null)", ORG_1
    )
    await until(lambda: heard == [""])
    await registry.system.execute("select from mcp.heartbeat_agent_instances($1, $2)", [row["registration_id"]], [1])
    await registry.heartbeat(row)
    await registry.system.execute(PUBLISH, 1000)
    await until(lambda: heard == ["", "2"])
    await listener.close()


@pytest.mark.parametrize(
    ("keep", "rows", "lowest"), [("1 hour", 100, 1), ("1 hour", 2, 4), ("0 s", 100, 6), ("1 hour", 0, 6)]
)
async def test_compaction_records_where_the_log_begins(
    registry: RegistryDatabase, keep: str, rows: int, lowest: int
) -> None:
    for n in range(5):
        await registry.register(instance_id=f"i{n}")
    await registry.event_kinds()
    assert await registry.system.fetchval(f"select mcp.compact_agent_events('{keep}', $1)", rows) == lowest
    assert await registry.owner.fetchval("select lowest from mcp.agent_event_log") == lowest
    left = await registry.owner.fetchval(POSITIONS)
    assert (left or []) == list(range(lowest, 6))
    await registry.register(instance_id="next")
    assert await registry.system.fetchval(PUBLISH, 10) == 6


async def test_compaction_does_not_wait_for_publishers(registry: RegistryDatabase) -> None:
    await registry.register()
    await registry.event_kinds()
    async with registry.system.acquire() as publisher, publisher.transaction():
        await publisher.execute(PUBLISH, 10)
        assert await registry.system.fetchval("select mcp.compact_agent_events('0 s')") == 2
    assert await registry.owner.fetchval(POSITIONS) is None


async def test_an_organization_reads_its_own_events_and_writes_none_of_others(registry: RegistryDatabase) -> None:
    await registry.register()
    await registry.register(tenant=ORG_2)
    await registry.event_kinds()
    async with acting_for(registry.app, ORG_1) as connection:
        assert {row[0] for row in await connection.fetch("select tenant_id from mcp.agent_events")} == {ORG_1}
        forged = "insert into mcp.agent_event_inbox (tenant_id, registration_id, agent_id, kind, instance, at) values ($1, $1, 'x', 'stale', '{}', now())"
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(forged, ORG_2)
    assert await registry.app.fetchval("select count(*) from mcp.agent_events") == 0
