"""The programs of PostgreSQL that a backup runs, and how they connect."""

from __future__ import annotations

import asyncio
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import pytest
from databases import PG15, private_postgres
from operator_commands import agenthall
from servers.live_server import free_port

from robyn_server.app.operator.backup import run_backup
from robyn_server.app.operator.restore import run_restore
from robyn_server.backup.dump import Target
from robyn_server.backup.programs import connection_environment, find_client_programs
from robyn_server.core.errors import Misconfigured
from robyn_server.core.urls.dsn import normalise_dsn
from robyn_server.settings import load_settings
from robyn_server.storage.operations.backups import DatabaseFacts
from robyn_server.supervisor.postgres.binaries import wheel_folder


def facts(major: int = 18, *, uses_tls: bool = False) -> DatabaseFacts:
    return DatabaseFacts(major, f"{major}.1", "me", uses_tls, has_row_security=False)


def environment_for(url: str, *, uses_tls: bool = False, **given: str) -> dict[str, str]:
    return connection_environment(normalise_dsn(url), facts(uses_tls=uses_tls), given)


def test_all_parts_of_the_url_become_variables() -> None:
    found = environment_for(
        "postgresql://m%40e:p%2Fw@db.example:6000/d%20b?sslmode=verify-full&sslrootcert=/ca.pem&options=-c%20geqo%3Doff"
    )
    assert {name: found[name] for name in ("PGUSER", "PGPASSWORD", "PGHOST", "PGPORT", "PGDATABASE")} == {
        "PGUSER": "m@e",
        "PGPASSWORD": "p/w",
        "PGHOST": "db.example",
        "PGPORT": "6000",
        "PGDATABASE": "d b",
    }
    assert (found["PGSSLMODE"], found["PGSSLROOTCERT"], found["PGOPTIONS"]) == ("verify-full", "/ca.pem", "-c geqo=off")


def test_variables_of_the_shell_lead_nowhere_else() -> None:
    shell = {
        "PGHOST": "elsewhere",
        "PGHOSTADDR": "10.0.0.1",
        "PGSERVICE": "other",
        "PGDATABASE": "x",
        "PGPASSWORD": "kept",
    }
    found = environment_for("postgresql://me@db.example", **shell)
    assert (found["PGHOST"], found["PGPASSWORD"]) == ("db.example", "kept")
    assert not {"PGHOSTADDR", "PGSERVICE", "PGDATABASE"} & found.keys()


def test_the_programs_never_use_less_than_the_server_did() -> None:
    assert environment_for("postgresql://me@db", uses_tls=True)["PGSSLMODE"] == "require"
    assert environment_for("postgresql://me@db?sslmode=prefer", uses_tls=True)["PGSSLMODE"] == "require"
    assert environment_for("postgresql://me@db?sslmode=verify-ca", uses_tls=True)["PGSSLMODE"] == "verify-ca"
    assert "PGSSLMODE" not in environment_for("postgresql://me@db")


def test_a_secret_that_only_an_argument_can_carry_is_refused() -> None:
    with pytest.raises(Misconfigured, match="sslpassword") as caught:
        environment_for("postgresql://me@db?sslpassword=s3cr3t")
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.skipif(wheel_folder() is None, reason="there is no wheel for this platform")
def test_the_programs_of_the_wheel_serve_a_database_without_tls() -> None:
    assert find_client_programs(facts(), {}).folder == wheel_folder()


def test_a_database_that_is_too_new_is_refused_with_both_versions() -> None:
    with pytest.raises(Misconfigured, match=r"PostgreSQL 99\.1 .*version 99 or newer.*PGBIN"):
        find_client_programs(facts(99), {})


def test_a_directory_without_the_programs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=f"there are none in {tmp_path}"):
        find_client_programs(facts(), {"PGBIN": str(tmp_path)})


@pytest.mark.skipif(not PG15.is_dir(), reason="PostgreSQL 15, whose programs speak TLS, is not installed")
async def test_a_database_that_is_reached_with_tls_is_saved_with_tls(tmp_path: Path) -> None:
    certificate, key = tmp_path / "server.crt", tmp_path / "server.key"
    await asyncio.to_thread(
        subprocess.run,
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )  # fmt: skip
    key.chmod(0o600)
    port = free_port()
    tls = {"ssl": "on", "ssl_cert_file": str(certificate), "ssl_key_file": str(key)}
    listening = {"listen_addresses": "127.0.0.1", "port": str(port)}
    with private_postgres({"PGBIN": str(PG15), "PATH": "/usr/bin:/bin"}, **listening, **tls) as server:
        url = f"postgresql://postgres:{server.directory.password()}@127.0.0.1:{port}/postgres?sslmode=require"
        assert agenthall("migrate", DATABASE_URL=url).returncode == 0
        saved = agenthall("backup", tmp_path / "x", DATABASE_URL=url)
        assert saved.returncode == 0, saved.stderr
        wheel = agenthall("backup", tmp_path / "y", DATABASE_URL=url, PGBIN=str(wheel_folder()))
        assert wheel.returncode == 2 and "built without TLS" in wheel.stderr and not (tmp_path / "y").exists()
        connection = await asyncpg.connect(url)
        await connection.execute("drop schema agenthall, mcp, langgraph cascade")
        await connection.close()
        restored = agenthall("restore", tmp_path / "x", DATABASE_URL=url)
        assert restored.returncode == 0, restored.stderr


@dataclass
class Recorder:
    """A progress bar that remembers what it was told."""

    total: int = 0
    steps: list[int] = field(default_factory=list)

    def expect(self, total: int) -> None:
        self.total = total

    def reached(self, done: int) -> None:
        self.steps.append(done)


async def test_progress_counts_every_step_to_the_end(database: str, empty_database: str, tmp_path: Path) -> None:
    saved, restored = Recorder(), Recorder()
    source, target = load_settings(database_url=database), load_settings(database_url=empty_database)
    path = tmp_path / "x"
    report = await asyncio.to_thread(run_backup, source, Target.parse(str(path)), False, saved)
    await asyncio.to_thread(run_restore, target, path, False, False, restored)
    assert saved.steps == list(range(1, saved.total + 1)) and saved.total == report.tables
    assert restored.steps == list(range(1, restored.total + 1)) and restored.total > 400
