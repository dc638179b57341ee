"""Refusals of `agenthall backup` and `agenthall restore`, and what is left behind after one: nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from databases import PG15, database_url, fresh_database, private_postgres
from operator_commands import PASSWORD, agenthall, databases_of, environment, login, recording_programs
from servers.live_server import until

from robyn_server.supervisor.postgres.binaries import find_binaries


@pytest.fixture(scope="module")
async def source(postgres: str, template: str) -> AsyncIterator[str]:
    """A database with one thread."""
    async with fresh_database(postgres, template) as url:
        await execute(url, "insert into agenthall.threads (thread_id, owner_id) values (gen_random_uuid(), 'ada')")
        yield url


@pytest.fixture(scope="module")
def backup(source: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("backup") / "one.backup"
    done = agenthall("backup", path, DATABASE_URL=source)
    assert done.returncode == 0, done.stderr
    return path


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


async def value(url: str, query: str) -> object:
    connection = await asyncpg.connect(url)
    found = await connection.fetchval(query)
    await connection.close()
    return found


def as_admin(admin: str, url: str) -> str:
    """The database of `url` with the login of `admin`."""
    return database_url(admin, urlsplit(url).path.removeprefix("/"))


def left_in(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_an_existing_file_is_overwritten_only_when_told(source: str, tmp_path: Path) -> None:
    path = tmp_path / "kept"
    path.write_text("something else")
    refused = agenthall("backup", path, DATABASE_URL=source)
    assert (refused.returncode, path.read_text()) == (1, "something else")
    assert "--overwrite" in refused.stderr
    assert agenthall("backup", path, "--overwrite", DATABASE_URL=source).returncode == 0
    assert path.read_bytes().startswith(b"PGDMP") and list(tmp_path.iterdir()) == [path]


def test_a_directory_with_other_files_is_never_overwritten(source: str, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter").write_text("dear")
    refused = agenthall("backup", tmp_path / "home", "--overwrite", DATABASE_URL=source)
    assert refused.returncode == 1 and "other files" in refused.stderr
    folder = tmp_path / "made"
    assert agenthall("backup", f"{folder}/", DATABASE_URL=source).returncode == 0
    assert agenthall("backup", folder, DATABASE_URL=source).returncode == 1
    assert agenthall("backup", folder, "--overwrite", DATABASE_URL=source).returncode == 0
    assert sorted(each.name for each in tmp_path.iterdir()) == ["home", "made"]


def test_without_a_database_nothing_is_created(tmp_path: Path) -> None:
    missing = tmp_path / "nothing"
    refused = agenthall("backup", tmp_path / "x", "--data-dir", missing)
    assert refused.returncode == 2 and "no database" in refused.stderr and not missing.exists()


async def test_a_database_without_the_servers_tables_is_no_backup(empty_database: str, tmp_path: Path) -> None:
    refused = agenthall("backup", tmp_path / "x", DATABASE_URL=empty_database)
    assert refused.returncode == 2 and "agenthall migrate" in refused.stderr and not left_in(tmp_path)


async def test_a_password_is_in_no_argument_and_no_output(postgres: str, tmp_path: Path) -> None:
    with recording_programs(find_binaries().folder, tmp_path) as programs:
        async with login(postgres) as operator, databases_of(postgres, operator, "a", "b") as [source, target]:
            assert agenthall("migrate", DATABASE_URL=source).returncode == 0
            saved = agenthall("backup", tmp_path / "x", DATABASE_URL=source, PGBIN=str(programs))
            restored = agenthall("restore", tmp_path / "x", DATABASE_URL=target, PGBIN=str(programs))
    assert (saved.returncode, restored.returncode) == (0, 0), saved.stderr + restored.stderr
    arguments = (tmp_path / "arguments").read_text()
    assert all(f"{name} " in arguments for name in ("pg_dump", "pg_restore", "psql"))
    for text in (arguments, saved.stdout + saved.stderr, restored.stdout + restored.stderr):
        assert PASSWORD not in text and "s3cr3t" not in text and operator not in text


async def test_a_login_that_does_not_see_every_row_is_refused(postgres: str, tmp_path: Path) -> None:
    async with login(postgres) as operator, databases_of(postgres, operator, "a") as [source]:
        assert agenthall("migrate", DATABASE_URL=source).returncode == 0
        await execute(
            as_admin(postgres, source),
            "alter table agenthall.threads owner to current_user",
            "drop policy system_all on agenthall.threads",
            "grant select on agenthall.threads to public",
        )
        refused = agenthall("backup", tmp_path / "x", DATABASE_URL=source)
    assert refused.returncode == 2 and "row-level security hides rows of agenthall.threads" in refused.stderr
    assert not left_in(tmp_path)


async def test_a_database_that_is_not_empty_keeps_what_it_has(source: str, backup: Path) -> None:
    before = await value(source, "select thread_id from agenthall.threads")
    refused = agenthall("restore", backup, DATABASE_URL=source)
    assert refused.returncode == 1 and "not empty" in refused.stderr and "--replace" in refused.stderr
    assert await value(source, "select thread_id from agenthall.threads") == before


async def test_replace_puts_the_backup_in_the_place_of_what_is_there(
    postgres: str, template: str, source: str, backup: Path
) -> None:
    async with fresh_database(postgres, template) as target:
        await execute(
            target,
            "insert into agenthall.threads (thread_id, owner_id) values (gen_random_uuid(), 'bob')",
            "create table public.mine (word text); insert into public.mine values ('kept')",
            "create view public.owners as select owner_id from agenthall.threads",
        )
        refused = agenthall("restore", backup, "--replace", DATABASE_URL=target)
        assert refused.returncode == 1 and "public.owners" in refused.stderr
        assert await value(target, "select owner_id from public.owners") == "bob"
        await execute(target, "drop view public.owners")
        done = agenthall("restore", backup, "--replace", DATABASE_URL=target)
        assert done.returncode == 0, done.stderr
        assert await value(target, "select string_agg(owner_id, ',') from agenthall.threads") == "ada"
        assert await value(target, "select word from public.mine") == "kept"


@pytest.mark.parametrize("application", ["agenthall web", "agenthall worker"])
async def test_a_database_that_a_server_works_on_is_left_alone(
    empty_database: str, backup: Path, application: str
) -> None:
    held = await asyncpg.connect(empty_database, server_settings={"application_name": application})
    refused = agenthall("restore", backup, DATABASE_URL=empty_database)
    await held.close()
    assert refused.returncode == 1 and "stop it before" in refused.stderr


async def test_a_backup_of_a_newer_build_is_refused_by_name(
    postgres: str, template: str, empty_database: str, tmp_path: Path
) -> None:
    async with fresh_database(postgres, template) as newer:
        assert agenthall("backup", tmp_path / "same", DATABASE_URL=newer).returncode == 0
        await execute(newer, "insert into agenthall.migrations values (9999, 'time_travel', 'x')")
        dumped = subprocess.run(
            [find_binaries().program("pg_dump"), "-Fc", "-f", tmp_path / "newer", newer], check=False
        )
        assert dumped.returncode == 0
        refused = agenthall("restore", tmp_path / "newer", DATABASE_URL=empty_database)
        assert refused.returncode == 1 and "9999_time_travel" in refused.stderr and "newer" in refused.stderr
        await execute(
            newer,
            "delete from agenthall.migrations where version = 9999",
            "update langgraph.checkpoint_migrations set v = 9999 where v = 1",
        )
        subprocess.run([find_binaries().program("pg_dump"), "-Fc", "-f", tmp_path / "graph", newer], check=True)
        refused = agenthall("restore", tmp_path / "graph", DATABASE_URL=empty_database)
        assert refused.returncode == 1 and "newer LangGraph" in refused.stderr
    assert await value(empty_database, "select to_regnamespace('agenthall')") is None


@pytest.mark.parametrize("content", [b"", b"select 1;", b"PGDMP", None], ids=["empty", "sql", "torn", "folder"])
async def test_what_is_no_archive_is_refused(empty_database: str, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "broken"
    path.mkdir() if content is None else path.write_bytes(content)
    refused = agenthall("restore", path, DATABASE_URL=empty_database)
    assert refused.returncode == 2 and str(path) in refused.stderr and "Traceback" not in refused.stderr


async def test_an_archive_of_another_product_is_refused(empty_database: str, tmp_path: Path) -> None:
    subprocess.run([find_binaries().program("pg_dump"), "-Fc", "-f", tmp_path / "other", empty_database], check=True)
    refused = agenthall("restore", tmp_path / "other", DATABASE_URL=empty_database)
    assert refused.returncode == 2 and "not of a database of Agenthall" in refused.stderr


async def test_an_archive_that_breaks_off_changes_nothing(
    postgres: str, template: str, empty_database: str, tmp_path: Path
) -> None:
    async with fresh_database(postgres, template) as full:
        await execute(
            full,
            "insert into agenthall.threads (thread_id, owner_id, metadata) select gen_random_uuid(), 'ada',"
            " jsonb_build_object('noise', (select string_agg(gen_random_uuid()::text, '') from generate_series(1, 20) where n > 0))"
            " from generate_series(1, 2000) n",
        )
        assert agenthall("backup", tmp_path / "whole", DATABASE_URL=full).returncode == 0
    whole = (tmp_path / "whole").read_bytes()
    for part in (0.5, 0.8, 0.95):
        (tmp_path / "torn").write_bytes(whole[: int(len(whole) * part)])
        refused = agenthall("restore", tmp_path / "torn", DATABASE_URL=empty_database)
        assert refused.returncode in {1, 2} and "Traceback" not in refused.stderr, refused.stderr
        assert await value(empty_database, "select to_regnamespace('agenthall')") is None


async def test_a_role_that_is_missing_is_named_and_nothing_is_changed(
    postgres: str, template: str, empty_database: str, tmp_path: Path
) -> None:
    async with fresh_database(postgres, template) as granted:
        await execute(granted, "create role backup_reader_x", "grant usage on schema mcp to backup_reader_x")
        assert agenthall("backup", tmp_path / "x", DATABASE_URL=granted).returncode == 0
        await execute(granted, "drop owned by backup_reader_x", "drop role backup_reader_x")
    refused = agenthall("restore", tmp_path / "x", DATABASE_URL=empty_database)
    assert refused.returncode == 1 and 'role "backup_reader_x" does not exist' in refused.stderr
    assert "create role" in refused.stderr
    assert await value(empty_database, "select to_regnamespace('agenthall')") is None


async def test_a_backup_that_is_interrupted_leaves_nothing(postgres: str, template: str, tmp_path: Path) -> None:
    async with fresh_database(postgres, template) as full:
        held = await asyncpg.connect(full)
        transaction = held.transaction()
        await transaction.start()
        await held.execute("lock table agenthall.threads in access exclusive mode")  # pg_dump waits for it
        running = subprocess.Popen(
            [sys.executable, "-m", "robyn_server", "backup", str(tmp_path / "x")],
            env=environment(DATABASE_URL=full),
            stderr=subprocess.PIPE,
        )

        async def waits() -> object:
            return await value(
                full,
                "select count(*) from pg_stat_activity where application_name = 'agenthall backup' and wait_event_type = 'Lock'",
            )

        await until(waits)
        assert [name[:3] for name in left_in(tmp_path)] == [".x."]
        running.send_signal(signal.SIGTERM)  # SIGINT may be ignored where the tests run
        await until(lambda: running.poll() is not None)
        await transaction.rollback()
        await held.close()
        assert running.returncode == 128 + signal.SIGTERM and not left_in(tmp_path)


@pytest.mark.skipif(not PG15.is_dir(), reason="PostgreSQL 15 is not installed")
async def test_programs_that_are_older_than_the_database_are_refused(source: str, tmp_path: Path) -> None:
    refused = agenthall("backup", tmp_path / "x", DATABASE_URL=source, PGBIN=str(PG15))
    assert refused.returncode == 2 and "PGBIN" in refused.stderr and "15" in refused.stderr
    assert not left_in(tmp_path)


@pytest.mark.skipif(not PG15.is_dir(), reason="PostgreSQL 15 is not installed")
async def test_the_oldest_supported_postgresql_can_be_saved_and_restored(backup: Path, tmp_path: Path) -> None:
    with private_postgres({"PGBIN": str(PG15), "PATH": "/usr/bin:/bin"}) as old:
        async with login(old.dsn) as operator, databases_of(old.dsn, operator, "a", "b") as [first, second]:
            restored = agenthall("restore", backup, DATABASE_URL=first)
            assert restored.returncode == 0, restored.stderr
            assert await value(as_admin(old.dsn, first), "select count(*) from agenthall.threads") == 1
            saved = agenthall("backup", tmp_path / "old", DATABASE_URL=first)
            assert saved.returncode == 0, saved.stderr
            again = agenthall("restore", tmp_path / "old", DATABASE_URL=second)
            assert again.returncode == 0 and "restored 1 threads" in again.stdout, again.stderr


def old_admin(admin: str, url: str) -> str:
    return database_url(admin, url.split("/")[3].split("?", maxsplit=1)[0])
