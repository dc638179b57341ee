"""The view mcp.agents accepts the statements of the table that it replaces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from registry_database import ORG_1, ORG_2, RegistryDatabase, acting_for

INSERT = "insert into mcp.agents (tenant_id, name) values ($1, $2) returning *"


@pytest.fixture
async def old(registry: RegistryDatabase) -> AsyncIterator[Any]:
    """A connection of older code, that names its tenant once."""
    async with acting_for(registry.app, ORG_1) as connection:
        yield connection


async def test_an_insert_stores_its_values_and_returns_the_row(old: Any) -> None:
    given = {
        "id": uuid4(), "tenant_id": ORG_1, "agent_id": "old-bot", "name": "Old Bot", "type": "slack", "model_id": "gpt",
        "capabilities": ["chat"], "configuration": '{"a": 1}', "system_prompt": "be kind", "temperature": 0.725, "max_tokens": 10,
        "max_workload": 3, "status": "available", "current_workload": 0,
    }  # fmt: skip
    places = ", ".join(f"${n}" for n in range(1, len(given) + 1))
    row = await old.fetchrow(
        f"insert into mcp.agents ({', '.join(given)}) values ({places}) returning *", *given.values()
    )
    assert {name: row[name] for name in given} == given
    assert await old.fetchrow("select * from mcp.agents") == row
    assert row["last_seen_at"] is None and row["created_at"] is not None


async def test_an_agent_without_an_id_gets_one_and_an_agent_id_from_its_name(old: Any) -> None:
    row = await old.fetchrow(INSERT, ORG_1, "  My Old Agent! v2 ")
    assert isinstance(row["id"], UUID)
    assert (row["agent_id"], row["status"]) == ("my-old-agent-v2", "available")


async def test_the_tenant_of_the_transaction_is_the_default(old: Any) -> None:
    assert await old.fetchval("insert into mcp.agents (name) values ('x') returning tenant_id") == ORG_1


@pytest.mark.parametrize("agent_id", [None, "another"])
async def test_a_second_agent_of_a_name_is_a_duplicate_key(old: Any, agent_id: str | None) -> None:
    await old.execute(INSERT, ORG_1, "Bot")
    with pytest.raises(asyncpg.UniqueViolationError):
        await old.execute("insert into mcp.agents (tenant_id, name, agent_id) values ($1, 'Bot', $2)", ORG_1, agent_id)


async def test_names_are_unique_within_an_organization_only(registry: RegistryDatabase) -> None:
    for tenant in (ORG_1, ORG_2):
        async with acting_for(registry.app, tenant) as connection:
            await connection.execute(INSERT, tenant, "Bot")


async def test_of_many_inserts_of_a_name_at_once_one_succeeds(registry: RegistryDatabase) -> None:
    async def insert(n: int) -> None:
        async with acting_for(registry.app, ORG_1) as connection:
            await connection.execute(
                "insert into mcp.agents (tenant_id, name, agent_id) values ($1, 'Bot', $2)", ORG_1, f"bot-{n}"
            )

    ends = await asyncio.gather(*(insert(n) for n in range(16)), return_exceptions=True)
    assert [type(end) for end in ends if end is not None] == [asyncpg.UniqueViolationError] * 15


async def test_an_id_that_is_taken_is_a_duplicate_key(old: Any) -> None:
    row = await old.fetchrow(INSERT, ORG_1, "one")
    with pytest.raises(asyncpg.UniqueViolationError):
        await old.execute("insert into mcp.agents (id, tenant_id, name) values ($1, $2, 'two')", row["id"], ORG_1)


async def test_a_name_gives_one_id_however_its_letters_are_composed(old: Any) -> None:
    row = await old.fetchrow(INSERT, ORG_1, "Cafe\u0301 Bot")
    assert row["agent_id"] == "caf\u00e9-bot"


async def test_an_update_changes_the_given_columns_only(old: Any) -> None:
    before = dict(await old.fetchrow(INSERT, ORG_1, "Bot"))
    row = await old.fetchrow(
        "update mcp.agents set name = 'Neu', type = 'ide', capabilities = '{a,b}', system_prompt = 'x', temperature = 2, configuration = '{\"k\": []}', max_workload = 0 where id = $1 returning *",
        before["id"],
    )
    changed = {name for name in before if row[name] != before[name]}
    assert changed == {
        "name",
        "type",
        "capabilities",
        "system_prompt",
        "temperature",
        "configuration",
        "max_workload",
        "updated_at",
    }
    assert row["agent_id"] == "bot"
    assert await old.execute("update mcp.agents set updated_at = now() where id = $1", before["id"]) == "UPDATE 1"


async def test_updates_of_two_columns_at_once_both_stay(registry: RegistryDatabase) -> None:
    async with acting_for(registry.app, ORG_1) as connection:
        await connection.execute(INSERT, ORG_1, "Bot")

    async def write(assignment: str) -> None:
        async with acting_for(registry.app, ORG_1) as connection:
            await connection.execute(f"update mcp.agents set {assignment}")

    await asyncio.gather(
        *(write(each) for each in ("model_id = 'm'", "max_tokens = 5", "system_prompt = 'p'", "type = 't'"))
    )
    found = await registry.row("select model_id, max_tokens, system_prompt, type from mcp.agents")
    assert tuple(found) == ("m", 5, "p", "t")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("id", f"'{UUID(int=7)}'"), ("tenant_id", f"'{ORG_2}'"), ("agent_id", "'x'"), ("status", "'active'"), ("status", "'offline'"),
        ("current_workload", "3"), ("last_seen_at", "now()"),
    ],
)  # fmt: skip
async def test_a_column_that_cannot_be_written_raises_and_is_named(old: Any, column: str, value: str) -> None:
    await old.execute(INSERT, ORG_1, "Bot")
    with pytest.raises(asyncpg.PostgresError, match=f'"{column}"') as caught:
        async with old.transaction():
            await old.execute(f"update mcp.agents set {column} = {value}")
    assert caught.value.sqlstate == "428C9"
    if column in {"status", "current_workload", "last_seen_at"}:
        with pytest.raises(asyncpg.PostgresError, match=f'"{column}"'):
            await old.execute(
                f"insert into mcp.agents (tenant_id, name, {column}) values ('{ORG_1}', 'other', {value})"
            )


@pytest.mark.parametrize(
    ("column", "value"),
    [("temperature", "2.5"), ("max_tokens", "0"), ("max_workload", "-1"), ("configuration", "'[]'"), ("name", "''")],
)
async def test_a_bad_value_is_refused(old: Any, column: str, value: str) -> None:
    await old.execute(INSERT, ORG_1, "Bot")
    with pytest.raises(asyncpg.CheckViolationError, match=column):
        await old.execute(f"update mcp.agents set {column} = {value}")


async def test_a_name_is_needed(old: Any) -> None:
    with pytest.raises(asyncpg.NotNullViolationError, match="name"):
        await old.execute("insert into mcp.agents (tenant_id) values ($1)", ORG_1)


async def test_the_status_follows_the_instances(registry: RegistryDatabase) -> None:
    status = "select status from mcp.agents where agent_id = 'ide-agent'"
    row = await registry.register()
    assert await registry.owner.fetchval(status) == "active"
    await registry.heartbeat(row, load='{"workload": 4}')
    assert await registry.owner.fetchval("select current_workload from mcp.agents") == 4
    await registry.owner.execute("update mcp.agent_leases set lease_expires_at = now() - interval '1 s'")
    assert await registry.owner.fetchval(status) == "available"
    await registry.sweep(await registry.later(20))
    assert await registry.owner.fetchval("select last_seen_at from mcp.agents") is not None
    await registry.owner.execute("update mcp.agents set enabled = false")
    assert await registry.owner.fetchval(status) == "offline"
    with pytest.raises(asyncpg.PostgresError):
        await registry.register()
    assert await registry.owner.fetchval(status) == "offline"


async def test_an_inserted_agent_accepts_registrations(registry: RegistryDatabase) -> None:
    async with acting_for(registry.app, ORG_1) as connection:
        agent = await connection.fetchrow(INSERT, ORG_1, "IDE Agent")
    row = await registry.register("ide-agent")
    assert (row["config_id"], row["is_new"]) == (agent["id"], True)
    assert await registry.owner.fetchval("select name from mcp.agents") == "IDE Agent"


async def test_a_delete_removes_the_configuration_and_its_instances(registry: RegistryDatabase) -> None:
    await registry.register()
    await registry.register(tenant=ORG_2)
    async with acting_for(registry.app, ORG_1) as connection:
        assert (
            await connection.fetchval("delete from mcp.agents where agent_id = 'ide-agent' returning tenant_id")
            == ORG_1
        )
    for table in ("agent_configurations", "agent_instances", "agent_leases"):
        assert await registry.owner.fetchval(f"select array_agg(tenant_id) from mcp.{table}") == [ORG_2]
    assert (await registry.register())["is_new"]


async def test_an_organization_neither_reads_nor_writes_agents_of_others(registry: RegistryDatabase) -> None:
    async with acting_for(registry.app, ORG_2) as connection:
        await connection.execute(INSERT, ORG_2, "theirs")
    async with acting_for(registry.app, ORG_1) as connection:
        assert await connection.fetch("select * from mcp.agents") == []
        assert await connection.execute("update mcp.agents set name = 'mine'") == "UPDATE 0"
        assert await connection.execute("delete from mcp.agents") == "DELETE 0"
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(INSERT, ORG_2, "forged")
