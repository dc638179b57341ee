"""A page of configurations or manifests reads as much of many as of a thousand."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias
from uuid import UUID

import pytest
from databases import fresh_database
from read_costs import FEW, MANY, CountingPool, load
from registry_database import ORG_1, ORG_2, RegistryDatabase, open_registry

from robyn_server.storage.registry.configurations import Configurations
from robyn_server.storage.registry.manifests import Manifests

NEWCOMER = UUID(int=3)
SLACK = 150
_FILL = f"""
insert into mcp.agent_manifests (agent_id, published)
select 'agent-' || lpad(n::text, 8, '0'), n in (100, 500, 900) from generate_series(1, ROWS) n;
insert into mcp.agent_configurations (tenant_id, manifest_id, agent_id, name)
select case when substr(m.agent_id, 7)::integer in (50, 700) then '{ORG_2}' else '{ORG_1}' end::uuid, m.id, m.agent_id, m.agent_id
  from mcp.agent_manifests m where substr(m.agent_id, 7)::integer % 2 = 0;
"""
Ask: TypeAlias = Callable[[RegistryDatabase, Any], Awaitable[Any]]


@contextlib.asynccontextmanager
async def _loaded(postgres: str, template: str, rows: int) -> AsyncIterator[RegistryDatabase]:
    async with fresh_database(postgres, template) as url, open_registry(url, size=1) as registry:
        await load(registry.owner, _FILL.replace("ROWS", str(rows)), triggers=False)
        yield registry


@pytest.fixture(scope="module")
async def few(postgres: str, template: str) -> AsyncIterator[RegistryDatabase]:
    async with _loaded(postgres, template, FEW) as registry:
        yield registry


@pytest.fixture(scope="module")
async def many(postgres: str, template: str) -> AsyncIterator[RegistryDatabase]:
    async with _loaded(postgres, template, MANY // 10) as registry:
        yield registry


async def _cost(pool: Any, ask: Callable[[Any], Awaitable[Any]]) -> int:
    async with pool.acquire() as connection:
        counting = CountingPool(connection)
        await ask(counting)
        return counting.buffers


@pytest.mark.parametrize("after", [None, "agent-00000600"])
@pytest.mark.parametrize("tenant", [ORG_1, ORG_2, NEWCOMER])
async def test_a_page_costs_a_page(
    few: RegistryDatabase, many: RegistryDatabase, tenant: UUID, after: str | None
) -> None:
    for ask in (
        lambda pool: Configurations(pool).search(tenant, after=after, limit=10),
        lambda pool: Manifests(pool, pool).search(tenant, after=after, limit=10),
    ):
        small, large = await _cost(few.app, ask), await _cost(many.app, ask)
        assert large <= 2 * small + SLACK


async def test_administrators_page_through_all_manifests(few: RegistryDatabase, many: RegistryDatabase) -> None:
    def ask(pool: Any) -> Awaitable[Any]:
        return Manifests(pool, pool).search(None, after="agent-00000600", limit=10)

    assert await _cost(many.system, ask) <= 2 * await _cost(few.system, ask) + SLACK


@pytest.mark.parametrize(
    ("tenant", "manifests", "configurations"),
    [
        (ORG_2, [50, 100, 500, 700, 900], [50, 700]),
        (NEWCOMER, [100, 500, 900], []),
        (
            ORG_1,
            [n for n in range(2, 1001, 2) if n not in (50, 700)],
            [n for n in range(2, 1001, 2) if n not in (50, 700)],
        ),
    ],
)
async def test_the_pages_hold_the_published_and_the_configured(
    few: RegistryDatabase, tenant: UUID, manifests: list[int], configurations: list[int]
) -> None:
    listed: dict[str, list[int]] = {"manifests": [], "configurations": []}
    sources: dict[str, Any] = {"manifests": Manifests(few.app, few.system), "configurations": Configurations(few.app)}
    for name, source in sources.items():
        after: str | None = None
        while True:
            page = await source.search(tenant, after=after, limit=7)
            listed[name] += [int(body.partition("agent-")[2][:8]) for body in page.bodies]
            if (after := page.after) is None:
                break
    assert listed == {"manifests": manifests, "configurations": configurations}
