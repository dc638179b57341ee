"""State schemas of manifests: the database takes what the API takes, and the assistants of the agent follow."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import orjson
import pytest
from registry_database import ORG_1, ORG_2, RegistryDatabase

from robyn_server.core.errors import Invalid
from robyn_server.core.registry.state_schema import check_state_schema

_SET = "update mcp.agent_manifests set state_schema = $2::text::jsonb where agent_id = $1"
_SCHEMA = """
select (a.config -> 'configurable' -> 'agenthall_state_schema')::text as schema, a.version, a.retired_at
  from agenthall.assistants a join mcp.agent_configurations c on c.id = a.assistant_id
 where c.tenant_id = $1 and c.agent_id = $2
"""
ONE: Any = {"type": "object", "properties": {"score": {"type": "number"}}}
TWO: Any = {"type": "object", "properties": {"colour": {"enum": ["red"]}}}


def _text(schema: Any) -> str:
    return orjson.dumps(schema).decode()


async def _shown(registry: RegistryDatabase, agent_id: str, tenant: Any = ORG_1) -> tuple[Any, int]:
    row = await registry.row(_SCHEMA, tenant, agent_id)
    return None if row["schema"] is None else orjson.loads(row["schema"]), row["version"]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        ONE,
        {"type": "object", "title": "T", "description": "D", "$schema": "S", "$comment": "C", "properties": {}},
        {"type": "object", "properties": {"a" * 128: {}, "B_2": {"properties": {"messages": {"type": "string"}}}}},
        {"type": "object", "properties": {f"p{number}": {} for number in range(256)}},
    ],
)
async def test_a_schema_that_the_api_takes_is_stored(registry: RegistryDatabase, schema: dict[str, Any]) -> None:
    await registry.register()
    check_state_schema(schema)
    await registry.system.execute(_SET, "ide-agent", _text(schema))


@pytest.mark.parametrize(
    ("schema", "field"),
    [
        ({}, ".type"),
        ({"type": "array"}, ".type"),
        ({"type": ["object"]}, ".type"),
        ({"type": "object", "required": ["a"]}, ".required"),
        ({"type": "object", "$defs": {}}, ".$defs"),
        ({"type": "object", "properties": []}, ".properties"),
        ({"type": "object", "properties": None}, ".properties"),
        ({"type": "object", "properties": {"messages": {}}}, ".properties.messages"),
        ({"type": "object", "properties": {"model_config": {}}}, ".properties.model_config"),
        ({"type": "object", "properties": {"agenthall_x": {}}}, ".properties.agenthall_x"),
        ({"type": "object", "properties": {"": {}}}, ".properties."),
        ({"type": "object", "properties": {"_x": {}}}, ".properties._x"),
        ({"type": "object", "properties": {"a b": {}}}, ".properties.a b"),
        ({"type": "object", "properties": {"é": {}}}, ".properties.é"),
        ({"type": "object", "properties": {"a" * 129: {}}}, f".properties.{'a' * 128}"),
        ({"type": "object", "properties": {"a": True}}, ".properties.a"),
        ({"type": "object", "properties": {"a": {"items": [{"$ref": "#/x"}]}}}, ".properties.a"),
        ({"type": "object", "properties": {f"p{number}": {} for number in range(257)}}, ".properties"),
    ],
)
async def test_a_schema_that_the_api_refuses_is_refused(
    registry: RegistryDatabase, schema: dict[str, Any], field: str
) -> None:
    await registry.register()
    with pytest.raises(Invalid) as refused:
        check_state_schema(schema)
    assert refused.value.field == f"state_schema{field}"
    with pytest.raises(asyncpg.CheckViolationError, match="agent_manifests_state_schema"):
        await registry.system.execute(_SET, "ide-agent", _text(schema))


async def test_a_change_makes_a_version_of_each_assistant_of_the_agent(registry: RegistryDatabase) -> None:
    for tenant in (ORG_1, ORG_2):
        await registry.register("my-bot", tenant=tenant)
    await registry.register("other-bot")
    await registry.system.execute(_SET, "my-bot", _text(ONE))
    for tenant in (ORG_1, ORG_2):
        assert await _shown(registry, "my-bot", tenant) == (ONE, 2)
    assert await _shown(registry, "other-bot") == (None, 1)
    await registry.system.execute("update mcp.agent_manifests set version = '2', state_schema = state_schema")
    assert await _shown(registry, "my-bot") == (ONE, 2)
    await registry.system.execute("update mcp.agent_manifests set state_schema = null where agent_id = 'my-bot'")
    assert await _shown(registry, "my-bot") == (None, 3)


async def test_one_that_is_enabled_again_or_registers_later_has_the_latest_schema(registry: RegistryDatabase) -> None:
    await registry.register("my-bot")
    await registry.system.execute("update mcp.agent_configurations set enabled = false")
    await registry.system.execute(_SET, "my-bot", _text(ONE))
    assert (await registry.row(_SCHEMA, ORG_1, "my-bot"))["retired_at"] is not None
    await registry.system.execute("update mcp.agent_configurations set enabled = true")
    assert await _shown(registry, "my-bot") == (ONE, 2)
    await registry.register("my-bot", tenant=ORG_2)
    assert await _shown(registry, "my-bot", ORG_2) == (ONE, 1)


async def test_an_agent_that_registers_while_the_schema_changes_has_the_changed_one(
    registry: RegistryDatabase,
) -> None:
    for attempt in range(15):
        name = f"race-{attempt}"
        await registry.register(name)
        changing = registry.system.execute(_SET, name, _text(TWO))
        await asyncio.gather(registry.register(name, tenant=ORG_2), changing)
        for tenant in (ORG_1, ORG_2):
            assert (await _shown(registry, name, tenant))[0] == TWO
