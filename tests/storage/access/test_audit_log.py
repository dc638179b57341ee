"""The audit trail in the database: append-only, kept for a time, and read at the same cost however long it is."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from databases import fresh_database, open_pools
from read_costs import FEW, MANY, CountingPool, fill

from robyn_server.core.access.principal import LOCAL, Principal
from robyn_server.storage.audit_log import AuditFilter, AuditLog
from robyn_server.worker.sweepers.audit import AuditSweeper

ORGANIZATION = UUID(int=7)
SLACK = 150
_FILL = """
insert into agenthall.audit_log (at, organization_id, actor, actor_kind, action, resource_type, resource_id)
select now() - n * interval '1 s', case when n % 2 = 0 then '00000000-0000-0000-0000-000000000007'::uuid end,
       case when n % 500 = 0 then 'ada' when n % 4 = 0 then 'mia' else 'root' end, 'principal',
       case when n % 900 = 0 then 'api_key.revoke' else 'assistant.update' end, 'assistant', (n % 100)::text
  from generate_series(1, ROWS) n;
analyze agenthall.audit_log;
"""
FILTERS = {
    "none": AuditFilter(),
    "organization": AuditFilter(organization_id=ORGANIZATION),
    "actor": AuditFilter(actor="mia"),
    "rare actor": AuditFilter(actor="ada"),
    "resource": AuditFilter(resource_id="7"),
    "rare action": AuditFilter(action="api_key.revoke"),
    "nothing": AuditFilter(action="no.such"),
    "organization and actor": AuditFilter(ORGANIZATION, actor="ada"),
    "organization and resource": AuditFilter(ORGANIZATION, resource_id="8"),
    "foreign actor": AuditFilter(ORGANIZATION, actor="root"),
    "all": AuditFilter(ORGANIZATION, "mia", "assistant.update", "assistant", "8"),
    "since": AuditFilter(organization_id=ORGANIZATION, since=datetime.now(UTC) - timedelta(minutes=5)),
    "until": AuditFilter(organization_id=ORGANIZATION, until=datetime.now(UTC) - timedelta(minutes=5)),
}
READERS = {"administrator": LOCAL, "auditor": Principal("auditor", frozenset({ORGANIZATION}))}


async def _fill(url: str, rows: int) -> None:
    connection = await asyncpg.connect(url)
    try:
        await fill(connection, _FILL.replace("ROWS", str(rows)))
    finally:
        await connection.close()


@pytest.mark.parametrize("statement", ["update {} set actor = 'x'", "delete from {}", "truncate {}", "insert into {}"])
async def test_no_role_of_the_server_changes_the_trail(database: str, statement: str) -> None:
    await _fill(database, 10)
    columns = " (actor, actor_kind, action, resource_type, resource_id) values ('x', 'principal', 'x', 'x', 'x')"
    text = statement.format("agenthall.audit_log") + (columns if statement.startswith("insert") else "")
    async with open_pools(database) as (app, system, _):
        for pool in (app, system):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await pool.execute(text)


@pytest.mark.parametrize("statement", ["update {} set actor = 'x'", "delete from {}", "truncate {}"])
async def test_the_owner_does_not_change_the_trail_by_accident(database: str, statement: str) -> None:
    await _fill(database, 10)
    async with open_pools(database) as (_, _, login):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
            await login.execute(statement.format("agenthall.audit_log"))
        assert await login.fetchval("select count(*) from agenthall.audit_log") == 10


async def test_a_role_of_the_server_cannot_call_what_writes_entries(database: str) -> None:
    async with open_pools(database) as (app, system, _):
        for pool in (app, system):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await pool.execute("select agenthall.append_audit('x', 'x', 'x', null, '{}')")


async def test_the_sweep_deletes_what_is_older_than_it_keeps(database: str) -> None:
    await _fill(database, 1000)
    async with open_pools(database) as (_, system, login):
        await login.execute("alter table agenthall.audit_log disable trigger refuse_change")
        await login.execute("update agenthall.audit_log set at = at - interval '30 days' where audit_id <= 400")
        await login.execute("alter table agenthall.audit_log enable trigger refuse_change")
        log = AuditLog(system)
        assert await log.sweep(timedelta(days=30), 100) == 100
        assert await AuditSweeper(log, timedelta(days=30)).sweep() == 300
        assert await login.fetchval("select count(*) from agenthall.audit_log") == 600
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
            await login.execute("delete from agenthall.audit_log")


async def test_entries_cannot_be_swept_on_the_day_they_are_written(database: str) -> None:
    async with open_pools(database) as (_, system, _):
        with pytest.raises(Exception, match="at least one day"):
            await system.execute("select agenthall.sweep_audit_log(interval '1 hour', 10)")


async def test_a_change_that_is_rolled_back_leaves_no_entry(database: str) -> None:
    async with open_pools(database) as (_, _, login), login.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("insert into mcp.agent_manifests (agent_id) values ('rolled-back')")
        assert await connection.fetchval("select count(*) from agenthall.audit_log") == 1
        await transaction.rollback()
        assert await connection.fetchval("select count(*) from agenthall.audit_log") == 0


async def test_a_page_costs_the_same_in_a_long_trail(postgres: str, template: str) -> None:
    costs: dict[int, dict[Any, int]] = {}
    for rows in (FEW, MANY):
        async with fresh_database(postgres, template) as url:
            await _fill(url, rows)
            async with open_pools(url, size=1) as (app, _, _), app.acquire() as connection:
                costs[rows] = {}
                for (who, principal), (name, where) in product(READERS.items(), FILTERS.items()):
                    if not principal.is_admin and where.organization_id is None:
                        continue  # the service names the organization of everybody but administrators
                    pool = CountingPool(connection)
                    log = AuditLog(pool)  # type: ignore[arg-type]
                    page = await log.search(principal, where, after=None, limit=50)
                    if page.after is not None:
                        await log.search(principal, where, after=page.after, limit=50)
                    costs[rows][who, name] = pool.buffers // pool.statements
    # A walk reads at most 5,000 entries, of which a trail of a thousand has a fifth.
    most = max(costs[FEW].values()) * 5 + SLACK
    dear = {case: cost for case, cost in costs[MANY].items() if cost > most}
    assert not dear, f"{dear} buffers, with {FEW} rows {json.dumps({str(k): v for k, v in costs[FEW].items()})}"
    cheap = ("none", "organization", "actor", "since", "until")
    for case, cost in costs[MANY].items():
        if case[1] in cheap:
            assert cost <= costs[FEW][case] + SLACK, case


async def test_a_walk_that_finds_nothing_goes_on_in_the_next_page(database: str) -> None:
    await _fill(database, 12_000)
    async with open_pools(database) as (app, _, _):
        log, after, found, pages = AuditLog(app), None, 0, 0
        while True:
            page = await log.search(LOCAL, AuditFilter(action="api_key.revoke"), after=after, limit=50)
            found, pages, after = found + len(page.bodies), pages + 1, page.after
            if after is None:
                break
    assert (found, pages) == (13, 3)
