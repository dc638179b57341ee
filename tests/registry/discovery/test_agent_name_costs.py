"""The agent that a name means is found by an index, however many agents and organizations there are."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from databases import fresh_database
from read_costs import FEW, MANY, CountingPool, fill
from registry_database import RegistryDatabase, open_registry

from robyn_server.core.access.principal import ADMIN, LOCAL, Principal
from robyn_server.storage.registry.agent_names import AgentNames

MOST = 60
"""Buffers: some levels of indexes, and the rows of two agents."""

# Agent n is that of organization n. Every organization has the agent `popular`, and organization 7 alone has `retired`.
_FILL = """
create function pg_temp.id(n bigint) returns uuid language sql immutable as $$ select lpad(to_hex(n), 32, '0')::uuid $$;
set session_replication_role = replica;
insert into mcp.agent_manifests (id, agent_id)
select pg_temp.id(n), 'agent-' || n from generate_series(1, ROWS::bigint) n
union all values (pg_temp.id(ROWS + 1), 'popular'), (pg_temp.id(ROWS + 2), 'retired');
insert into mcp.agent_configurations (id, tenant_id, manifest_id, agent_id, name)
select pg_temp.id(n), pg_temp.id(n), pg_temp.id(n), 'agent-' || n, 'own' from generate_series(1, ROWS::bigint) n
union all
select pg_temp.id(2 * ROWS + n), pg_temp.id(n), pg_temp.id(ROWS + 1), 'popular', 'x' from generate_series(1, ROWS::bigint) n;
insert into mcp.agent_configurations (id, tenant_id, manifest_id, agent_id, name, enabled)
values (pg_temp.id(5 * ROWS::bigint), pg_temp.id(7), pg_temp.id(ROWS + 2), 'retired', 'x', false);
reset session_replication_role;
"""


@contextlib.asynccontextmanager
async def _filled(postgres: str, template: str, rows: int) -> AsyncIterator[str]:
    """The name of a database that was never analysed, to copy."""
    async with fresh_database(postgres, template) as url:
        async with open_registry(url, size=1) as registry:
            await fill(registry.owner, _FILL.replace("ROWS", str(rows)))
        yield urlsplit(url).path.removeprefix("/")


@pytest.fixture(scope="module")
async def filled(postgres: str, template: str) -> AsyncIterator[tuple[str, str]]:
    async with _filled(postgres, template, FEW) as few, _filled(postgres, template, MANY) as many:
        yield few, many


@pytest.fixture(scope="module", params=["analysed", "never analysed"])
async def registries(
    request: pytest.FixtureRequest, postgres: str, filled: tuple[str, str]
) -> AsyncIterator[list[RegistryDatabase]]:
    async with contextlib.AsyncExitStack() as stack:
        registries = []
        for name in filled:
            url = await stack.enter_async_context(fresh_database(postgres, name))
            registries.append(await stack.enter_async_context(open_registry(url, size=1)))
            if request.param == "analysed":
                await registries[-1].owner.execute("analyze")
        yield registries


READERS = {
    "a member": (Principal("somebody", frozenset({UUID(int=7)})), None),
    "a member of a hundred": (Principal("somebody", frozenset(UUID(int=n) for n in range(1, 101))), UUID(int=7)),
    "a member of all": (LOCAL, None),
    "an administrator": (Principal("root", permissions=frozenset({ADMIN})), UUID(int=7)),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ["agent-7", "popular", "retired", "nobody"])
async def test_a_name_is_found_in_a_bounded_number_of_buffers(
    registries: list[RegistryDatabase], reader: str, name: str
) -> None:
    principal, organization_id = READERS[reader]
    for registry in registries:
        async with registry.app.acquire() as connection:
            pool = CountingPool(connection)
            found = await AgentNames(pool).find(principal, name, organization_id)  # type: ignore[arg-type]
        assert pool.buffers < MOST and pool.statements == 1
        alone = name != "popular" or reader != "a member of all"
        assert [each.is_enabled for each in found] == {"nobody": [], "retired": [False]}.get(
            name, [True] if alone else [True, True]
        )


async def test_a_member_of_many_reads_as_many_entries_as_it_has_organizations(
    registries: tuple[RegistryDatabase, RegistryDatabase],
) -> None:
    principal = Principal("somebody", frozenset(UUID(int=n) for n in range(1, 101)))
    costs = []
    for registry in registries:
        async with registry.app.acquire() as connection:
            pool = CountingPool(connection)
            assert len(await AgentNames(pool).find(principal, "popular", None)) == 2  # type: ignore[arg-type]
            assert len(await AgentNames(pool).find(principal, "agent-7", None)) == 1  # type: ignore[arg-type]
        costs.append(pool.buffers)
    assert costs[1] < costs[0] + 2 * 100 * 2, "at most two levels of the index more for each organization"
