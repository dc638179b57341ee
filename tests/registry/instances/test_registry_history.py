"""Each change of an instance writes one bounded entry of its history; a heartbeat writes none."""

from __future__ import annotations

import asyncio
import shutil
from datetime import timedelta
from pathlib import Path

from databases import fresh_database
from registry_database import ORG_1, ORG_2, RegistryDatabase, Row, open_registry

from robyn_server.core.registry.instance_history import registrations_of
from robyn_server.files import packaged
from robyn_server.storage.postgres.migrations import migrate
from robyn_server.storage.registry.instances.history import InstanceHistories


async def _kinds(registry: RegistryDatabase, row: Row) -> list[str]:
    """The kinds of an instance's entries, the oldest first."""
    query = "select kind from mcp.agent_instance_history where registration_id = $1 order by ordinal, id"
    return [each["kind"] for each in await registry.owner.fetch(query, row["registration_id"])]


async def test_each_change_writes_an_entry_and_a_heartbeat_none(registry: RegistryDatabase) -> None:
    row = await registry.register(version="1.0", zone="eu")
    for health in ("degraded", "healthy", None):
        await registry.heartbeat(row, health=health)
    await registry.sweep(await registry.later(3600))
    await registry.heartbeat(row)
    row = await registry.register(version="1.1")
    for verb in ("cordon", "uncordon"):
        await registry.app.execute(f"select mcp.{verb}_agent_instance($1, $2)", ORG_1, row["registration_id"])
    await registry.end("disconnect", row, 5)
    await registry.end("drain", row, "lunch")
    await registry.end("deregister", row, "bye")
    assert await _kinds(registry, row) == [
        "registered", "stale", "revived", "reconnected", "cordoned", "uncordoned", "disconnected", "draining",
        "deregistered",
    ]  # fmt: skip
    history = await InstanceHistories(registry.app).find(ORG_1, row["registration_id"])
    assert history is not None
    assert [(each.epoch, each.version, each.reason) for each in registrations_of(history.entries)] == [
        (2, "1.1", "bye"),
        (1, "1.0", "superseded"),
    ]
    assert [each.detail for each in history.entries if each.kind == "draining"] == [{"reason": "lunch"}]


async def test_an_instance_keeps_its_last_entries_and_the_sweeper_takes_old_ones(registry: RegistryDatabase) -> None:
    row, other = await registry.register(), await registry.register(instance_id="other")
    for _ in range(60):
        await registry.register()
    assert await _kinds(registry, row) == ["reconnected"] * 50
    assert await _kinds(registry, other) == ["registered"]
    months = await registry.later(timedelta(days=31).total_seconds())
    await registry.owner.execute("update mcp.agent_leases set lease_expires_at = $1", months + timedelta(days=1))
    await registry.sweep(months)
    assert [await _kinds(registry, each) for each in (row, other)] == [[], []]


async def test_many_registrations_at_once_neither_wait_nor_fail(registry: RegistryDatabase) -> None:
    row = await registry.register()
    await asyncio.gather(*(registry.register() for _ in range(100)))
    await registry.register()
    assert await _kinds(registry, row) == ["reconnected"] * 50


async def test_a_history_goes_with_its_instance(registry: RegistryDatabase) -> None:
    row, other = await registry.register(), await registry.register(tenant=ORG_2)
    await registry.owner.execute("select mcp.count_job($1, $2, 'succeeded')", ORG_1, row["registration_id"])
    await registry.owner.execute("delete from mcp.agent_configurations where tenant_id = $1", ORG_1)
    for table in ("agent_instance_history", "agent_job_counts"):
        left = await registry.owner.fetch(f"select registration_id from mcp.{table}")
        assert {each[0] for each in left} <= {other["registration_id"]}


async def test_another_tenant_reads_nothing(registry: RegistryDatabase) -> None:
    row = await registry.register()
    assert await InstanceHistories(registry.app).find(ORG_2, row["registration_id"]) is None
    async with registry.app.acquire() as connection, connection.transaction():
        await connection.execute("select mcp.act_for($1)", ORG_2)
        assert await connection.fetchval("select count(*) from mcp.agent_instance_history") == 0


async def test_the_migration_begins_histories_with_the_present_registrations(postgres: str, tmp_path: Path) -> None:
    for path in sorted(packaged("migrations").glob("*.sql")):
        if "instance_history" in path.name:
            break
        shutil.copy(path, tmp_path)
    async with fresh_database(postgres) as url:
        await migrate(url, tmp_path)
        async with open_registry(url) as registry:
            await registry.register(version="1.0")
            row, ended = await registry.register(version="1.1"), await registry.register(instance_id="ended")
            await registry.end("deregister", ended)
            await migrate(url, packaged("migrations"))
            history = await InstanceHistories(registry.app).find(ORG_1, row["registration_id"])
            assert history is not None
            assert [(each.kind, each.epoch, each.detail) for each in history.entries] == [
                ("reconnected", 2, {"version": "1.1"})
            ]
            assert await _kinds(registry, ended) == []
