"""The statements that a run makes for credentials read as much beside many rows as beside a thousand."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

import pytest
from databases import fresh_database
from read_costs import FEW, MANY, CountingPool, fill
from run_storage import open_run_storage

from robyn_server.core.access.principal import Principal
from robyn_server.credentials.oauth.connections import EARLY
from robyn_server.storage.mcp.connections import McpConnections, OwnConnections
from robyn_server.storage.mcp.credentials import McpCredentials

SLACK = 20
"""Buffers: deeper indexes."""

_FILL = """
insert into agenthall.mcp_credentials (organization_id, url, kind, options, sealed, updated_by)
select lpad(to_hex(n % 50), 32, '0')::uuid, 'https://s' || n || '.example/mcp',
       case n % 4 when 0 then 'pass_through' else 'stored' end, '{}', sha256('x') || sha256('y'), 'test'
  from generate_series(1, $1::int) n"""
_FILL_CONNECTIONS = """
insert into agenthall.mcp_connections (owner_id, organization_id, url, issuer, sealed, expires_at)
select 'user-' || n % greatest($1::int / 5, 1), null, 'https://s' || n || '.example/mcp', 'https://i', sha256('x') || sha256('y'), now()
  from generate_series(1, $1::int) n"""
_FILL_SERVERS = """
insert into agenthall.mcp_credentials (organization_id, url, kind, options, sealed, updated_by)
select lpad(to_hex(1000 + n), 32, '0')::uuid, 'https://t' || n || '.example/mcp', 'connection', '{}', sha256('x') || sha256('y'), 'test'
  from generate_series(1, $1::int) n
union all
select null, 'https://u' || n || '.example/mcp', 'connection', '{}', sha256('x') || sha256('y'), 'test' from generate_series(1, 5) n"""
URLS = ["https://s7.example/mcp", "https://s8.example/mcp", "https://absent.example/mcp"]


@pytest.fixture(scope="module")
async def read(postgres: str, template: str) -> dict[str, list[int]]:
    """The buffers of each statement, beside few rows and beside many."""
    found: dict[str, list[int]] = {}
    for rows in (FEW, MANY):
        async with fresh_database(postgres, template) as url, open_run_storage(url) as storage:
            await fill(storage.admin, _FILL, rows)
            await fill(storage.admin, _FILL_CONNECTIONS, rows)
            await fill(storage.admin, _FILL_SERVERS, rows)
            await fill(storage.admin, "vacuum analyze agenthall.mcp_credentials, agenthall.mcp_connections")
            for name, buffers in (await _buffers(storage)).items():
                found.setdefault(name, []).append(buffers)
    return found


async def _buffers(storage: Any) -> dict[str, int]:
    async with storage.system.acquire() as system, storage.app.acquire() as app:
        counted = {}
        for name in ("find_for", "find_connectable", "passes_tokens", "passes_tokens_to", "find", "list"):
            counting = CountingPool(app if name == "list" else system)
            pool = cast("Any", counting)
            entries, connections, own = McpCredentials(pool), McpConnections(pool), OwnConnections(pool)
            match name:
                case "find_for":
                    assert len(await entries.find_for(UUID(int=7), URLS)) == 1
                case "find_connectable":
                    assert len(await entries.find_connectable(UUID(int=1007), None, 100)) == 6
                case "passes_tokens":
                    assert await entries.passes_tokens()
                case "passes_tokens_to":
                    assert not await entries.passes_tokens_to([URLS[0], URLS[2]])
                case "find":
                    assert await connections.find("user-7", None, URLS[0], EARLY)
                case "list":
                    assert len(await own.list(Principal("user-7"), 100)) == 5
            counted[name] = counting.buffers
        return counted


@pytest.mark.parametrize("name", ["find_for", "find_connectable", "passes_tokens", "passes_tokens_to", "find", "list"])
async def test_a_statement_does_not_read_the_rows_of_others(read: dict[str, list[int]], name: str):
    few, many = read[name]
    assert many <= few + SLACK, read
