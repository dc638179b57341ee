"""Discovery among many instances uses indexes only, and orders versions as semver does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from registry_database import ORG_1, RegistryDatabase, filled_registry
from semver import Version

from robyn_server.core.registry.instances import InstanceFilter
from robyn_server.core.registry.version_range import VersionRange, find_version, parse_version_range
from robyn_server.storage.registry.instances.search import search

ROWS = 12_000
_FILL = f"""
insert into mcp.agent_manifests (agent_id) values ('bot');
insert into mcp.agent_configurations (tenant_id, manifest_id, name) select '{ORG_1}', m.id, 'bot' from mcp.agent_manifests m;
insert into mcp.agent_instances (tenant_id, manifest_id, agent_id, instance_id, name, capabilities, tags, version)
select c.tenant_id, c.manifest_id, 'bot', 'i' || n, 'bot', array['all', 'of-' || n % 100], array['t' || n % 2], '1.' || n % 9
  from mcp.agent_configurations c, generate_series(1, {ROWS}) n;
insert into mcp.agent_leases (registration_id, tenant_id, manifest_id, epoch, lease_expires_at, last_health_check, lease_ttl)
select i.id, i.tenant_id, i.manifest_id, 1, now() + interval '1 h', now(), '1 h' from mcp.agent_instances i;
"""


@pytest.fixture(scope="module", params=["analysed", "never analysed"])
async def fleet(request: pytest.FixtureRequest, postgres: str, template: str) -> AsyncIterator[RegistryDatabase]:
    async with filled_registry(postgres, template, _FILL, analysed=request.param == "analysed") as registry:
        yield registry


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan] + [node for child in plan.get("Plans", ()) for node in _nodes(child)]


async def _plan(registry: RegistryDatabase, wanted: InstanceFilter, versions: VersionRange) -> list[dict[str, Any]]:
    query, filters = search(wanted, versions)
    sql, *arguments = query.bind(organization_id=ORG_1, after=UUID(int=0), limit=11, **filters)
    async with registry.app.acquire() as connection, connection.transaction():
        text = await connection.fetchval(f"explain (format json, analyze, costs off, timing off) {sql}", *arguments)
    return _nodes(json.loads(text)[0]["Plan"])


@pytest.mark.parametrize(
    ("wanted", "most"),
    [
        ({}, 11),
        ({"capabilities": ("all",)}, 11),
        ({"capabilities": ("of-7",)}, 11),
        ({"capabilities": ("none",)}, 0),
        ({"capabilities": ("all", "of-7"), "agent_id": "bot", "tags": ("t1",)}, 11),
        ({"capabilities": ("all", "of-7"), "tags": ("t0",)}, 0),
        ({"capabilities": ("of-7",), "version": ">=1.2,<2"}, 30),
        ({"capabilities": ("of-7",), "free_slots": 1}, 11),
    ],
)
async def test_a_page_reads_no_more_instances_than_necessary(
    fleet: RegistryDatabase, wanted: dict[str, Any], most: int
) -> None:
    versions = parse_version_range(wanted["version"]) if "version" in wanted else VersionRange()
    nodes = await _plan(fleet, InstanceFilter(**wanted), versions)
    whole = {node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"}
    assert whole <= {"lease_keepers", "agent_configurations"}, "tables of a few rows"
    read = {table: _most_read(nodes, table) for table in ("agent_leases", "agent_instances", "agent_search_terms")}
    assert max(read["agent_leases"], read["agent_instances"]) <= most
    assert read["agent_search_terms"] <= 1000, "the rarest term leads, and its entries are looked up in the others"


def _most_read(nodes: list[dict[str, Any]], table: str) -> int:
    """Rows that one node reads of the table, in all its turns."""
    return max(
        (node["Actual Rows"] * node["Actual Loops"] for node in nodes if node.get("Relation Name") == table), default=0
    )


NUMBER = st.integers(0, 3) | st.integers(0, 10**18 - 1)
WORD = st.from_regex(r"(0|[1-9][0-9]{0,17}|[0-9]*[A-Za-z-][0-9A-Za-z-]{0,5})", fullmatch=True)
PRERELEASE = st.lists(WORD, min_size=1, max_size=3).map(".".join)
VERSION = st.builds(Version, NUMBER, NUMBER, NUMBER, st.none() | PRERELEASE)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(versions=st.lists(VERSION, min_size=2, max_size=20))
async def test_the_databases_order_of_versions_is_semvers(registry: RegistryDatabase, versions: list[Version]) -> None:
    texts = [str(each) for each in versions]
    rows = await registry.owner.fetch(
        'select v, mcp.version_key(v) as key from unnest($1::text[]) v order by mcp.version_key(v) collate "C"', texts
    )
    ordered = [find_version(row["v"]) for row in rows]
    assert None not in ordered
    for (one, key), (other, following) in pairwise(zip(ordered, (row["key"] for row in rows), strict=True)):
        assert one is not None and other is not None
        assert one.compare(other) == (0 if key == following else -1)
