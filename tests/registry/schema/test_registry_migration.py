"""The registry's migrations on PostgreSQL 15, without superuser rights and beside existing tables, and the brief's
statements in psql."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
from databases import PG15, database_url, fresh_database, private_postgres
from deadlines import DEADLINE
from registry_database import ORG_1, ORG_2, SEED_QUERY, open_registry

from robyn_server.core.errors import Misconfigured
from robyn_server.doctor.database import check_schema
from robyn_server.files import packaged
from robyn_server.storage.postgres.migrations import migrate

OURS = packaged("migrations")
SEED = (
    r"""
\set ON_ERROR_STOP on
begin;
prepare register (uuid, text, text, text, jsonb, jsonb) as
SELECT * FROM mcp.register_agent_instance(
    $1,
    $2,      -- e.g., 'ide-agent'
    $3,   -- e.g., WebSocket connection ID
    $4,
    $5,
    $6
);
select is_new, epoch, message from mcp.register_agent_instance(:'tenant', 'ide-agent', 'conn-1', 'VS Code Agent', '{"protocol": "ws"}', '{}');
execute register (:'tenant', 'ide-agent', 'conn-1', 'VS Code Agent', '{"protocol": "ws"}', '{}');
prepare active (uuid, text) as
"""
    + SEED_QUERY
    + r""";
execute active (:'tenant', 'ide-agent');
commit;
"""
)


@pytest.fixture(scope="module")
def postgres15() -> Iterator[str]:
    if not PG15.is_dir():
        pytest.skip("PostgreSQL 15 is not installed")
    with private_postgres(os.environ | {"PGBIN": str(PG15)}, fsync="off") as postgres:
        yield postgres.dsn


@pytest.fixture(params=["PostgreSQL 15", "PostgreSQL 18"])
async def owned(request: pytest.FixtureRequest, postgres: str) -> AsyncIterator[str]:
    """The migrated database of a login without superuser rights, so that row-level security is forced on its owner
    too."""
    server = request.getfixturevalue("postgres15") if request.param == "PostgreSQL 15" else postgres
    name = f"owner_{os.urandom(4).hex()}"
    admin = await asyncpg.connect(server)
    await admin.execute(f"create role {name} login createrole password 'secret'")
    await admin.execute(f"create database {name} owner {name}")
    roles = await admin.fetch("select rolname from pg_roles where rolname in ('agenthall_app', 'agenthall_system')")
    if roles:
        await admin.execute(f"grant {', '.join(row['rolname'] for row in roles)} to {name}")
    url = _as_login(database_url(server, name), name)
    await migrate(url, OURS)
    yield url
    await admin.execute(f"drop database {name} with (force)")
    with contextlib.suppress(asyncpg.DependentObjectsStillExistError):  # the first of a cluster made our roles
        await admin.execute(f"drop role {name}")
    await admin.close()


def _as_login(url: str, name: str) -> str:
    scheme, rest = url.split("://", maxsplit=1)
    return f"{scheme}://{name}:secret@{rest.split('@', maxsplit=1)[1]}"


async def _psql(url: str, script: str, role: str | None, **variables: str) -> str:
    psql = shutil.which("psql")
    if psql is None:
        pytest.skip("psql is not installed")
    given = [f"--set={name}={value}" for name, value in variables.items()]
    options = {} if role is None else {"PGOPTIONS": f"-c role={role}"}
    process = await asyncio.create_subprocess_exec(
        psql, "-X", "-At", *given, url,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env={**os.environ, **options},
    )  # fmt: skip
    out, _ = await asyncio.wait_for(process.communicate(script.encode()), DEADLINE)
    assert process.returncode == 0, out.decode()
    return out.decode()


@pytest.mark.parametrize("role", ["agenthall_app", "agenthall_system", None])
async def test_psql_runs_the_seeds_statements_as_written(owned: str, role: str | None) -> None:
    said = (await _psql(owned, SEED, role, tenant=str(ORG_1))).splitlines()
    assert "t|1|Agent instance registered" in said
    assert any(
        line.endswith("|15|" + line.split("|")[-1]) and "|f|Agent instance reconnected|2|" in line for line in said
    )
    assert any(line.startswith("conn-1|healthy|") and line.endswith("|VS Code Agent") for line in said)


async def test_the_whole_life_of_an_instance_where_row_security_is_forced_on_the_owner(owned: str) -> None:
    async with open_registry(owned, size=4) as registry:
        rows = await asyncio.gather(*(registry.register(tenant=(ORG_1, ORG_2)[n % 2]) for n in range(16)))
        assert sum(row["is_new"] for row in rows) == 2
        await registry.sweep(await registry.later(20))
        await registry.sweep(await registry.later(90))
        await registry.register()
        await registry.owner.execute("delete from mcp.agents where tenant_id = $1", ORG_1)
        async with registry.app.acquire() as connection, connection.transaction():
            await connection.execute("select mcp.act_for($1)", ORG_2)
            await connection.execute("delete from mcp.agents")
        kinds = await registry.event_kinds()
        assert (kinds.count("inactive"), kinds.count("deleted")) == (2, 2)


@pytest.mark.parametrize(
    ("theirs", "named"),
    [
        (
            "create table mcp.agents (id uuid primary key, tenant_id uuid, name text, unique (tenant_id, name))",
            "mcp.agents",
        ),
        ("create view mcp.agent_registrations as select 1 as id", "mcp.agent_registrations"),
        (
            "create function mcp.register_agent_instance(text) returns int language sql as 'select 1'",
            r"mcp.register_agent_instance\(\)",
        ),
    ],
)
async def test_a_schema_with_the_old_tables_is_left_as_it_is(postgres: str, theirs: str, named: str) -> None:
    async with fresh_database(postgres) as url:
        connection = await asyncpg.connect(url)
        await connection.execute(f"create schema mcp; create table mcp.invoices (id int); {theirs}")
        before = await connection.fetch(
            "select relname from pg_class where relnamespace = 'mcp'::regnamespace order by 1"
        )
        told = f"^Schema mcp already holds {named} of another program; .* See docs/how-to/migrate-an-old-registry.md.$"
        with pytest.raises(Misconfigured, match=told):
            await check_schema(url)
        with pytest.raises(Misconfigured, match=told):
            await migrate(url, OURS)
        with pytest.raises(Misconfigured, match=told):
            await check_schema(url)
        assert (
            await connection.fetch("select relname from pg_class where relnamespace = 'mcp'::regnamespace order by 1")
            == before
        )
        await connection.close()


async def test_other_tables_in_schema_mcp_do_not_disturb(postgres: str) -> None:
    async with fresh_database(postgres) as url:
        connection = await asyncpg.connect(url)
        await connection.execute("create schema mcp; create table mcp.invoices (id int)")
        assert await migrate(url, OURS)
        await connection.close()
