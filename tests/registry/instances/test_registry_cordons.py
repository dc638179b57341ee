"""A cordon keeps an instance from work through all its registrations; a disabled configuration all of its instances."""

from __future__ import annotations

from typing import Any

import asyncpg
import orjson
import pytest
from registry_database import ORG_1, ORG_2, RegistryDatabase, Row

CORDON = "select outcome from mcp.cordon_agent_instance($1, $2, $3, $4)"


async def _cordon(registry: RegistryDatabase, row: Row, reason: str | None = "crash loop") -> Any:
    return await registry.app.fetchval(CORDON, ORG_1, row["registration_id"], reason, "ada")


async def _uncordon(registry: RegistryDatabase, row: Row) -> Any:
    return await registry.app.fetchval(
        "select outcome from mcp.uncordon_agent_instance($1, $2)", ORG_1, row["registration_id"]
    )


async def _shown(registry: RegistryDatabase, row: Row) -> Row:
    return await registry.row("select * from mcp.agent_registrations where id = $1", row["registration_id"])


async def test_a_cordon_outlives_registrations_drains_and_ends(registry: RegistryDatabase) -> None:
    row = await registry.register()
    assert await _cordon(registry, row) == "ok"
    first = await _shown(registry, row)
    assert (first["cordoned_by"], first["cordon_reason"], first["registration_status"]) == (
        "ada", "crash loop", "active",
    )  # fmt: skip
    row = await registry.register()
    await registry.end("drain", row)
    await registry.end("deregister", row)
    row = await registry.register()
    assert (await _shown(registry, row))["cordoned_at"] == first["cordoned_at"]
    assert await _uncordon(registry, row) == "ok"
    assert [(await _shown(registry, row))[name] for name in ("cordoned_at", "cordoned_by", "cordon_reason")] == [
        None
    ] * 3


async def test_a_cordoned_instance_keeps_its_lease_and_hears_of_the_cordon(registry: RegistryDatabase) -> None:
    row = await registry.register()
    beat = "select outcome, enabled, cordoned from mcp.heartbeat_agent_instance($1, $2, 1)"
    assert tuple(await registry.app.fetchrow(beat, ORG_1, row["registration_id"]) or ()) == ("ok", True, False)
    await _cordon(registry, row)
    assert tuple(await registry.app.fetchrow(beat, ORG_1, row["registration_id"]) or ()) == ("ok", True, True)
    await registry.owner.execute("update mcp.agent_configurations set enabled = false")
    assert tuple(await registry.app.fetchrow(beat, ORG_1, row["registration_id"]) or ()) == ("ok", False, True)


async def test_an_ended_instance_that_is_cordoned_is_kept_until_it_is_uncordoned(registry: RegistryDatabase) -> None:
    row, other = await registry.register(), await registry.register(instance_id="other")
    for each in (row, other):
        await registry.end("deregister", each)
    await _cordon(registry, row)
    long_after = await registry.later(100_000)
    assert (await registry.sweep(long_after))["deleted"] == 1
    again = await registry.register()
    assert (again["registration_id"], again["is_new"]) == (row["registration_id"], False)
    await registry.end("deregister", again)
    await _uncordon(registry, row)
    assert (await registry.sweep(await registry.later(100_000)))["deleted"] == 1


async def test_a_cordon_is_an_event_and_one_that_changes_nothing_is_none(registry: RegistryDatabase) -> None:
    row = await registry.register()
    await _uncordon(registry, row)
    await _cordon(registry, row)
    since = (await _shown(registry, row))["cordoned_at"]
    await _cordon(registry, row)
    await _cordon(registry, row, "still a crash loop")
    assert (await _shown(registry, row))["cordoned_at"] == since
    await _uncordon(registry, row)
    assert await registry.event_kinds() == ["registered", "cordoned", "cordoned", "uncordoned"]
    events = [
        orjson.loads(each["instance"])
        for each in await registry.owner.fetch("select instance from mcp.agent_events order by position")
    ]
    assert [each["cordon_reason"] for each in events] == [None, "crash loop", "still a crash loop", None]
    assert events[1]["cordoned_at"].endswith("+00:00") and len(events[1]["cordoned_at"]) == len(
        "2000-01-01T00:00:00.000000+00:00"
    )


async def test_another_organization_cordons_nothing(registry: RegistryDatabase) -> None:
    row = await registry.register()
    for function in ("cordon_agent_instance", "uncordon_agent_instance"):
        query = f"select outcome from mcp.{function}($1, $2)"
        assert await registry.app.fetchval(query, ORG_2, row["registration_id"]) == "unknown"
    assert (await _shown(registry, row))["cordoned_at"] is None


@pytest.mark.parametrize(
    ("reason", "cordoned_by", "field"), [("x" * 1025, "ada", "reason"), ("x", "a" * 256, "cordoned_by")]
)
async def test_a_value_that_is_too_long_is_named(
    registry: RegistryDatabase, reason: str, cordoned_by: str, field: str
) -> None:
    row = await registry.register()
    with pytest.raises(asyncpg.InvalidParameterValueError) as caught:
        await registry.app.fetchval(CORDON, ORG_1, row["registration_id"], reason, cordoned_by)
    assert caught.value.column_name == field
    assert (await _shown(registry, row))["cordoned_at"] is None


async def test_an_agent_of_a_disabled_configuration_is_offline_whatever_lives(registry: RegistryDatabase) -> None:
    status = "select status from mcp.agents"
    await registry.register()
    assert await registry.owner.fetchval(status) == "active"
    await registry.owner.execute("update mcp.agents set enabled = false")
    assert await registry.owner.fetchval(status) == "offline"
    await registry.owner.execute("update mcp.agents set enabled = true")
    assert await registry.owner.fetchval(status) == "active"


async def test_a_cordoned_instance_gets_no_job_and_keeps_those_that_it_has(registry: RegistryDatabase) -> None:
    row = await registry.register()
    create = "select state from mcp.create_agent_job($1, 'ide-agent', '{}')"
    slots = "select outcome from mcp.open_agent_slots($1, $2, $3, 8)"
    assert await registry.app.fetchval(slots, ORG_1, row["registration_id"], 1) == "ok"
    assert await registry.app.fetchval(create, ORG_1) == "offered"
    await _cordon(registry, row)
    assert await registry.app.fetchval(create, ORG_1) == "queued"
    row = await registry.register()
    assert await registry.app.fetchval(slots, ORG_1, row["registration_id"], 2) == "ok"
    assert await registry.app.fetchval(create, ORG_1) == "queued", "it has registered again"
    await registry.app.execute("select from mcp.claim_agent_jobs($1, $2, 2)", ORG_1, row["registration_id"])
    assert await registry.app.fetchval(create, ORG_1) == "queued", "it polls"
    await _uncordon(registry, row)
    await registry.app.fetchval(slots, ORG_1, row["registration_id"], 2)
    assert await registry.app.fetchval(create, ORG_1) == "offered"
