"""Migrations under everything that may happen to them: several at once, killed, edited, too new, not permitted; on
PostgreSQL 15 too."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from databases import PG15, database_url, fresh_database, private_postgres
from run_storage import open_run_storage
from servers.live_server import until

from robyn_server.core.access.principal import LOCAL
from robyn_server.core.errors import Misconfigured, Unavailable
from robyn_server.core.ids import new_id
from robyn_server.files import packaged
from robyn_server.graphs.checkpoints.saver import set_up
from robyn_server.storage.postgres.migrations import migrate, read_migrations

OURS = packaged("migrations")
PROGRAM = "import asyncio, sys; from pathlib import Path; from robyn_server.storage.postgres.migrations import migrate; asyncio.run(migrate(sys.argv[1], Path(sys.argv[2])))"


def _server(binaries: str | None) -> Iterator[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PGBIN"}
    if binaries:
        environment["PGBIN"] = binaries
    with private_postgres(environment, fsync="off") as postgres:
        yield postgres.dsn


@pytest.fixture(
    scope="module", params=[pytest.param(str(PG15), id="PostgreSQL 15"), pytest.param(None, id="PostgreSQL 18")]
)
def cluster(request: pytest.FixtureRequest) -> Iterator[str]:
    """A PostgreSQL in which nobody has made our roles yet."""
    if request.param and not PG15.is_dir():
        pytest.skip("PostgreSQL 15 is not installed")
    yield from _server(request.param)


@pytest.fixture
async def owned(cluster: str) -> AsyncIterator[str]:
    """The URL of a database that a login without superuser rights owns, as hosted databases give it."""
    name = f"tenant_{os.urandom(4).hex()}"
    admin = await asyncpg.connect(cluster)
    await admin.execute(f"create role {name} login createrole password 'secret'")
    await admin.execute(f"create database {name} owner {name}")
    if roles := await admin.fetch(
        "select rolname from pg_roles where rolname in ('agenthall_app', 'agenthall_system')"
    ):
        await admin.execute(f"grant {', '.join(row['rolname'] for row in roles)} to {name}")
    yield database_url(cluster, name).replace("//postgres:", f"//{name}:").replace(_password(cluster), "secret")
    await admin.execute(f"drop database {name} with (force)")
    await admin.close()


def _password(url: str) -> str:
    return url.split("//postgres:")[1].split("@", maxsplit=1)[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Our migrations in a folder where they may be spoilt."""
    return Path(shutil.copytree(OURS, tmp_path / "migrations"))


async def _applied(url: str) -> list[int]:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("select version from agenthall.migrations order by version")
        return [row["version"] for row in rows]
    finally:
        await connection.close()


async def _process(url: str, folder: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, url, str(folder), stderr=asyncio.subprocess.PIPE
    )


async def test_a_plain_login_sets_everything_up_and_runs_go_through(owned: str) -> None:
    await migrate(owned, OURS)
    await set_up(owned)
    await set_up(owned)
    async with open_run_storage(owned, size=2) as storage:
        worker, thread = new_id(), new_id()
        run_id = await storage.enqueue(thread)
        (run,) = await storage.claim(worker)
        await storage.enqueue(thread)
        assert await storage.threads.delete(LOCAL, thread)
        assert (run.run_id, await storage.queue.last_seq(run_id)) == (run_id, 1)


async def test_eight_processes_on_an_empty_database_apply_each_migration_once(owned: str) -> None:
    processes = [await _process(owned, OURS) for _ in range(8)]
    ends = [(await each.communicate(), each.returncode) for each in processes]
    assert [code for _, code in ends] == [0] * 8, ends
    assert await _applied(owned) == [each.version for each in read_migrations(OURS)]


async def test_eight_databases_of_one_cluster_are_set_up_at_once(postgres: str) -> None:
    """They share the roles."""
    async with fresh_database(postgres) as one, fresh_database(postgres) as two, fresh_database(postgres) as three:
        urls = [one, two, three]
        applied = await asyncio.gather(*(migrate(url, OURS) for url in urls * 3))
        assert sum(len(each) for each in applied) == 3 * len(read_migrations(OURS))
        await asyncio.gather(*(set_up(url) for url in urls * 2))


async def test_a_process_killed_in_a_step_leaves_nothing_and_the_next_completes(
    empty_database: str, folder: Path
) -> None:
    steps = len(read_migrations(folder))
    last = folder / f"{steps + 1:04d}_slow.sql"
    last.write_text("create table agenthall.half (id integer); select pg_sleep(60);")
    process = await _process(empty_database, folder)
    connection = await asyncpg.connect(empty_database)
    sleeping = "select pid from pg_stat_activity where query like '%agenthall.half%' and pid <> pg_backend_pid() and datname = current_database()"
    await until(lambda: connection.fetchval(sleeping))
    process.send_signal(signal.SIGKILL)
    await process.wait()
    last.write_text("create table agenthall.half (id integer);")
    await connection.execute(f"select pg_terminate_backend(pid) from ({sleeping}) s")
    assert [each.version for each in await migrate(empty_database, folder)] == [steps + 1]
    assert await _applied(empty_database) == list(range(1, steps + 2))
    await connection.close()


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


@pytest.fixture
async def busy(empty_database: str, folder: Path) -> AsyncIterator[tuple[str, asyncpg.Connection[Any]]]:
    """A database with two tables, which the next migration alters in this order, and a session of an old process."""
    await migrate(empty_database, folder)
    old = await asyncpg.connect(empty_database)
    await old.execute("create table agenthall.one (n int); create table agenthall.two (n int)")
    step = folder / f"{len(read_migrations(folder)) + 1:04d}_wider.sql"
    step.write_text("alter table agenthall.one add m int; alter table agenthall.two add m int;")
    yield empty_database, old
    await old.close()


async def test_a_migration_gives_way_to_a_transaction_with_which_it_would_deadlock(
    busy: tuple[str, asyncpg.Connection[Any]], folder: Path
) -> None:
    url, old = busy
    transaction = old.transaction()
    await transaction.start()
    await old.execute("insert into agenthall.two values (1)")
    migrating = asyncio.create_task(migrate(url, folder))
    async with _connected(url) as watching:
        holds = "select 1 from pg_locks where relation = 'agenthall.one'::regclass and mode = 'AccessExclusiveLock'"
        await until(lambda: watching.fetchval(holds))
    await old.execute("insert into agenthall.one values (1)")
    await transaction.commit()
    assert [each.name for each in await migrating] == ["wider"]


async def test_statements_do_not_queue_for_long_behind_a_migration_that_waits(
    busy: tuple[str, asyncpg.Connection[Any]], folder: Path
) -> None:
    url, old = busy
    transaction = old.transaction()
    await transaction.start()
    await old.execute("select from agenthall.one")
    migrating = asyncio.create_task(migrate(url, folder))
    async with _connected(url) as watching:
        waits = "select 1 from pg_locks where relation = 'agenthall.one'::regclass and not granted"
        await until(lambda: watching.fetchval(waits))
        await watching.execute("insert into agenthall.one values (1)")  # while `old` holds its lock
    assert not migrating.done()
    await transaction.commit()
    assert [each.name for each in await migrating] == ["wider"]


async def test_a_migration_that_never_gets_its_locks_says_so_and_changes_nothing(
    busy: tuple[str, asyncpg.Connection[Any]], folder: Path
) -> None:
    url, old = busy
    before = await _applied(url)
    async with old.transaction():
        await old.execute("select from agenthall.two")
        with pytest.raises(Unavailable, match=r"did not get its locks within 0.1 s.*End long transactions"):
            await migrate(url, folder, patience=0.1)
    assert await _applied(url) == before


async def test_an_edited_migration_is_refused(empty_database: str, folder: Path) -> None:
    await migrate(empty_database, folder)
    first = folder / f"{read_migrations(folder)[0]}.sql"
    first.write_text(first.read_text() + "\n-- a remark")
    with pytest.raises(Misconfigured, match=r"0001_.* was edited after"):
        await migrate(empty_database, folder)


async def test_line_ends_of_windows_are_no_edit(empty_database: str, folder: Path) -> None:
    await migrate(empty_database, folder)
    for step in read_migrations(folder):
        path = folder / f"{step}.sql"
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert await migrate(empty_database, folder) == []


async def test_a_database_newer_than_the_build_is_refused(empty_database: str, folder: Path) -> None:
    await migrate(empty_database, folder)
    (folder / f"{read_migrations(folder)[-1]}.sql").unlink()
    with pytest.raises(Misconfigured, match="newer than this build"):
        await migrate(empty_database, folder)


async def test_a_migration_that_fails_leaves_what_was_before(empty_database: str, folder: Path) -> None:
    steps = len(read_migrations(folder))
    bad = folder / f"{steps + 1:04d}_bad.sql"
    bad.write_text("create table agenthall.half (id integer); select 1 / 0;")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(empty_database, folder)
    assert await _applied(empty_database) == list(range(1, steps + 1))
    bad.unlink()
    assert await migrate(empty_database, folder) == []


@pytest.mark.parametrize("name", ["1_short.sql", "0009_gap.sql", "notes.sql", "0001_twice.sql"])
def test_bad_names_and_gaps_are_refused(folder: Path, name: str) -> None:
    (folder / name).write_text("select 1")
    with pytest.raises(Misconfigured):
        read_migrations(folder)


def test_no_line_of_a_migration_has_more_than_120_characters() -> None:
    long = [
        f"{path.name}:{number}"
        for path in sorted(OURS.iterdir())
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if len(line) > 120
    ]
    assert long == []


def test_a_folder_without_migrations_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured):
        read_migrations(tmp_path)


async def test_a_login_that_may_not_is_told_what_it_needs(cluster: str) -> None:
    admin = await asyncpg.connect(cluster)
    name = f"poor_{os.urandom(4).hex()}"
    await admin.execute(f"create role {name} login password 'secret'")
    await admin.execute(f"create database {name}")
    url = database_url(cluster, name).replace("//postgres:", f"//{name}:").replace(_password(cluster), "secret")
    with pytest.raises(Misconfigured, match=r"not permitted .* needs CREATE on the database and CREATEROLE"):
        await migrate(url, OURS)
    await migrate(database_url(cluster, name), OURS)
    with pytest.raises(Misconfigured, match="not permitted"):
        await migrate(url, OURS)
    await admin.execute(f"drop database {name} with (force)")
    await admin.close()
