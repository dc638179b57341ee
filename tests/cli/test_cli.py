"""The command line as a process, and the doctor on a real database."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import asyncpg
import psycopg
import pytest
from commands.command_line import agenthall, imported
from databases import fresh_database
from deadlines import DEADLINE

from robyn_server import __version__, doctor
from robyn_server.core.errors import Misconfigured
from robyn_server.doctor.database import properties_of
from robyn_server.doctor.port import check_port
from robyn_server.ports import hold_port
from robyn_server.supervisor.address_file import RunningServer, published_address
from robyn_server.supervisor.postgres.server import EmbeddedPostgres

HEAVY = {
    "asyncio",
    "asyncpg",
    "httpx",
    "langchain",
    "langchain_core",
    "langgraph",
    "langgraph_sdk",
    "mcp",
    "psycopg",
    "pydantic",
    "pydantic_settings",
    "rich",
    "robyn",
}


REPOSITORY = Path(__file__).parents[2]
_WAITING = """
import sys, time

class Waiting:
    def find_spec(self, name, path=None, target=None):
        if name in ("typer", "robyn_server.settings"):
            print("importing", flush=True)
            while True:  # not signal.pause(): a signal just before it would be lost
                time.sleep(0.05)

sys.meta_path.insert(0, Waiting())
"""


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("doctor")


@pytest.fixture(scope="module")
def dsn(data_dir: Path) -> Iterator[str]:
    database = EmbeddedPostgres(data_dir)
    yield database.start()
    database.stop()


def test_help_imports_nothing_heavy() -> None:
    names = imported("-m", "robyn_server", "--help")
    assert "typer" in names
    assert not names & HEAVY


def test_the_supervisor_imports_nothing_heavy() -> None:
    assert not imported("-c", "import robyn_server.supervisor.serve, robyn_server.cli.commands") & HEAVY


def test_help_names_every_command() -> None:
    said = agenthall("--help")
    assert said.returncode == 0
    assert all(name in said.stdout for name in ("serve", "web", "worker", "migrate", "doctor", "--version"))


def test_version_is_the_packages() -> None:
    assert agenthall("--version").stdout == f"agenthall {__version__}\n"


@pytest.mark.parametrize("name", ["--port", "--host", "--data-dir", "--log-format"])
def test_serve_has_the_option(name: str) -> None:
    assert name in agenthall("serve", "--help").stdout


def test_an_unknown_option_is_wrong_usage() -> None:
    assert agenthall("serve", "--colour").returncode == 2


def test_a_taken_port_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        said = agenthall("serve", "--port", str(other.getsockname()[1]), "--data-dir", str(tmp_path / "data"))
    assert said.returncode == 2
    assert said.stderr.startswith("agenthall: port ")
    assert len(said.stderr.splitlines()) == 1
    assert not (tmp_path / "data").exists()


def test_a_database_url_of_another_kind_is_one_line_and_exit_code_2() -> None:
    said = agenthall("serve", "--port", "0", DATABASE_URL="mysql://me:secret@db/x")
    assert (said.returncode, len(said.stderr.splitlines())) == (2, 1)
    assert "must start with postgresql://" in said.stderr
    assert "secret" not in said.stderr


def test_a_number_that_is_none_is_named() -> None:
    said = agenthall("serve", "--port", "0", AGENTHALL_DRAIN_SECONDS="soon")
    assert said.returncode == 2
    assert said.stderr == "agenthall: AGENTHALL_DRAIN_SECONDS: 'soon' is not a number\n"


def test_a_number_of_processes_is_at_least_one(tmp_path: Path) -> None:
    serve = ("serve", "--port", "0", "--data-dir", str(tmp_path))
    said = agenthall(*serve, DATABASE_URL="postgresql://db/x", AGENTHALL_WEB_PROCESSES="0")
    assert (said.returncode, said.stderr) == (
        2,
        "agenthall: AGENTHALL_WEB_PROCESSES: Input should be greater than or equal to 1\n",
    )


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"AUTH_MODE": "nome", "AGENTHALL_SOCKETS_PORT": "1.5"}, ("AUTH_MODE: ", "AGENTHALL_SOCKETS_PORT: ")),
        ({"AGENT_SYNC_SCOPE": "org:xx"}, ("AGENT_SYNC_SCOPE: ",)),
        (
            {"AUTH_MODE": "jwt", "AUTH_JWT_SECRET": "s" * 32, "AUTH_PERMISSIONS_CLAIM": "user_metadata.may"},
            ("AUTH_PERMISSIONS_CLAIM: ",),
        ),
        ({"CATALOGUE_DIRECT_URL": "mysql://me:secret@db/x"}, ("CATALOGUE_DIRECT_URL must start with postgresql://",)),
    ],
)
def test_a_setting_that_is_wrong_is_named_before_anything_is_made(
    tmp_path: Path, environment: dict[str, str], said: tuple[str, ...]
) -> None:
    done = agenthall("serve", "--port", "0", "--data-dir", str(tmp_path / "data"), **environment)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert done.stderr.startswith("agenthall: ") and all(each in done.stderr for each in said)
    assert "secret" not in done.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("arguments", [("serve", "--port", "0"), ("web", "--port", "0"), ("worker",), ("sockets",)])
def test_a_signal_while_it_still_imports_is_a_clean_stop(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """The first import after the handlers waits for us, so that the signal comes in the middle of it."""
    (tmp_path / "sitecustomize.py").write_text(_WAITING)
    process = subprocess.Popen(
        [sys.executable, "-m", "robyn_server", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{REPOSITORY}"},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "importing\n"
    process.terminate()
    out, err = process.communicate(timeout=DEADLINE)
    assert (process.returncode, out, err) == (0, "", "")
    assert not (tmp_path / ".agenthall").exists()


class Answers(BaseHTTPRequestHandler):
    """GET /info as `told` has it; all else is 404."""

    told: bytes = b"{}"

    def do_GET(self) -> None:
        body = self.told if self.path == "/info" else b"{}"
        self.send_response(200 if self.path == "/info" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def answering() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_doctor_tells_a_port_of_ours_from_another_programs(
    answering: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Answers, "told", b'{"version": "1.2", "sockets_url": null}')
    assert check_port("127.0.0.1", answering, tmp_path) == f"{answering} on 127.0.0.1 is served by an Agenthall 1.2"
    monkeypatch.setattr(Answers, "told", b'{"version": "1.2", "flags": {}}')
    with pytest.raises(Misconfigured, match="taken by another program"):
        check_port("127.0.0.1", answering, tmp_path)


def test_serve_says_that_another_agenthall_has_the_port(
    answering: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Answers, "told", b'{"version": "1.2", "sockets_url": null}')
    said = agenthall("serve", "--port", str(answering), "--data-dir", str(tmp_path / "data"))
    assert said.returncode == 2
    assert f"port {answering} on 127.0.0.1 is served by an Agenthall 1.2; choose another with --port" in said.stderr
    assert not (tmp_path / "data").exists()


def test_doctor_knows_the_server_of_its_data_directory(tmp_path: Path) -> None:
    with hold_port("127.0.0.1", 0) as held:  # as a `serve` does whose children do not answer yet
        port = held.getsockname()[1]
        with published_address(tmp_path, RunningServer(f"http://127.0.0.1:{port}", 4711)):
            assert (
                "held by the `agenthall serve` of this data directory (pid 4711), which does not answer"
                in check_port("127.0.0.1", port, tmp_path)
            )
            assert f"(pid 4711) answers at http://127.0.0.1:{port}" in check_port("127.0.0.1", 0, tmp_path)
        with pytest.raises(Misconfigured, match="taken by another program"):
            check_port("127.0.0.1", port, tmp_path)


def test_doctor_finds_a_healthy_database_fit(dsn: str) -> None:
    said = agenthall("doctor", "--port", "0", DATABASE_URL=dsn)
    assert said.returncode == 0, said.stdout + said.stderr
    names = [line.split()[:2] for line in said.stdout.splitlines()]
    assert names == [
        ["ok", name]
        for name in (
            *("settings", "traces", "graph", "port", "database", "schemas", "roles", "schema", "notify", "catalogue"),
            *("passes", "agents", "credentials"),
        )
    ]
    assert "secret" not in said.stdout


def test_doctor_looks_at_the_embedded_database_that_runs(dsn: str, data_dir: Path) -> None:
    said = agenthall("doctor", "--port", "0", "--data-dir", str(data_dir))
    assert said.returncode == 0, said.stdout + said.stderr
    assert f"in {data_dir}" in said.stdout
    assert "LISTEN and NOTIFY work" in said.stdout
    assert dsn.split(":")[2].split("@", maxsplit=1)[0] not in said.stdout  # the password


def test_doctor_does_not_make_a_database(tmp_path: Path) -> None:
    said = agenthall("doctor", "--port", "0", "--data-dir", str(tmp_path / "none"))
    assert said.returncode == 0
    assert "the first `serve` makes the database" in said.stdout
    assert not (tmp_path / "none").exists()


def test_doctor_fails_for_a_database_that_cannot_be_reached() -> None:
    said = agenthall("doctor", "--port", "0", DATABASE_URL="postgresql://me:secret@127.0.0.1:1/agents")
    assert said.returncode == 1
    (failed,) = (line for line in said.stdout.splitlines() if line.startswith("FAIL  database "))
    assert "the database at postgresql://me@127.0.0.1:1/agents does not work: nothing listens" in failed
    assert "secret" not in said.stdout


def test_doctor_names_wrong_settings() -> None:
    said = agenthall("doctor", "--port", "0", AUTH_MODE="jwt")
    assert said.returncode == 1
    assert "FAIL  settings" in said.stdout
    assert "AUTH_JWT_SECRET" in said.stdout


def test_doctor_names_a_scope_that_is_none() -> None:
    said = agenthall("doctor", "--port", "0", AGENT_SYNC_SCOPE="org:xx")
    assert (said.returncode, "AGENT_SYNC_SCOPE: 'org:xx'" in said.stdout) == (1, True)


def test_doctor_names_what_the_catalogue_lacks(dsn: str) -> None:
    said = agenthall("doctor", "--port", "0", DATABASE_URL=dsn, AGENT_SYNC_SCOPE="all")
    assert said.returncode == 1
    assert "FAIL  catalogue" in said.stdout
    assert "table public.ai_models is missing" in said.stdout


async def test_check_database_tells_what_the_server_needs_to_know(dsn: str) -> None:
    facts = await doctor.check_database(dsn)
    assert facts.version >= 15
    assert facts.version_text.startswith(str(facts.version))
    assert facts.role == "postgres"
    assert facts.is_superuser
    assert facts.may_create_roles
    assert facts.may_create_schemas


async def test_a_role_that_may_do_little_is_seen_as_such(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE ROLE little LOGIN PASSWORD 'x'")
    facts = await doctor.check_database(dsn.replace(dsn.split("//")[1].split("@", maxsplit=1)[0], "little:x"))
    assert (facts.role, facts.is_superuser, facts.may_create_roles) == ("little", False, False)
    assert not facts.may_create_schemas


async def test_each_way_not_to_connect_has_its_reason_and_no_password(dsn: str) -> None:
    credentials = dsn.split("//")[1].split("@", maxsplit=1)[0]
    for wrong, reason in (
        (dsn.replace(credentials, "postgres:secret"), "the password was refused"),
        (dsn.replace("/postgres?", "/nowhere?"), "there is no such database"),
        ("postgresql://me:secret@127.0.0.1:1/x", "nothing listens there"),
        ("postgresql://me:secret@/x?host=/nowhere", "there is no socket"),
        ("postgresql://me:secret@name.invalid/x", "cannot be reached"),
    ):
        with pytest.raises(Misconfigured, match=reason) as raised:
            await doctor.check_database(wrong)
        assert "secret" not in str(raised.value)


def test_a_database_older_than_15_is_refused() -> None:
    with pytest.raises(Misconfigured, match=r"is PostgreSQL 14.9; Agenthall needs 15 or newer"):
        properties_of({"number": 140009, "text": "14.9"}, "postgresql://me:secret@db/x")  # type: ignore[arg-type]


async def test_a_database_that_does_not_store_utf_8_is_refused_before_it_is_changed(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE DATABASE latin ENCODING LATIN1 LOCALE 'C' TEMPLATE template0")
    said = agenthall("migrate", DATABASE_URL=dsn.replace("/postgres?", "/latin?"))
    assert said.returncode == 2
    assert "stores LATIN1; Agenthall needs one that was created with encoding UTF8" in said.stderr
    with psycopg.connect(dsn.replace("/postgres?", "/latin?")) as connection:
        assert connection.execute("SELECT to_regnamespace('agenthall')").fetchone() == (None,)


async def test_a_notification_comes_back(dsn: str) -> None:
    await doctor.check_notify(dsn)


def test_psql_reaches_the_database_that_database_url_names_and_shows_no_password(postgres: str) -> None:
    """The password travels in the environment: arguments can be read by everybody."""
    command = [sys.executable, "-m", "robyn_server", "psql", "-c", "select 6 * 7 as answer", "-tA"]
    answer = subprocess.run(
        command,
        check=False,
        env={**os.environ, "DATABASE_URL": postgres},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert (answer.returncode, answer.stdout.strip()) == (0, "42"), answer.stderr


async def test_psql_for_a_tenant_shows_what_that_tenant_sees(postgres: str, template: str) -> None:
    one, other = "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"
    register = "select epoch from mcp.register_agent_instance($1, 'ide-agent', 'c1')"
    query = "select tenant_id from mcp.agent_registrations join mcp.agent_configurations using (tenant_id, manifest_id)"
    async with fresh_database(postgres, template) as url:
        for tenant in (one, other):
            connection = await asyncpg.connect(url)
            await connection.fetchval(register, tenant)
            await connection.close()
        for arguments, seen in (([], {one, other}), (["--tenant", one], {one}), (["--tenant", other], {other})):
            command = [sys.executable, "-m", "robyn_server", "psql", *arguments, "-tA", "-c", query]
            environment = {**os.environ, "DATABASE_URL": url, "PGOPTIONS": "-c statement_timeout=60s"}
            answer = await asyncio.to_thread(
                subprocess.run, command, env=environment, capture_output=True, text=True, timeout=DEADLINE, check=False
            )
            assert (answer.returncode, set(answer.stdout.split())) == (0, seen), answer.stderr


def test_psql_without_a_server_says_what_to_start(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    command = [sys.executable, "-m", "robyn_server", "psql", "--data-dir", str(tmp_path)]
    answer = subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=DEADLINE)
    assert answer.returncode == 2
    assert "agenthall serve" in answer.stderr
