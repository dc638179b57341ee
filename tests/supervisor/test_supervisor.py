"""`serve` as a real process with real children and a real database; the children's bodies are `program_child.py`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from servers.processes import (
    DEADLINE,
    PROGRAMS,
    command_line,
    find_processes,
    is_gone,
    start_program,
    stop_program,
    wait_until,
)

from robyn_server.supervisor import restart_policy
from robyn_server.supervisor.address_file import RunningServer, find_running_server
from robyn_server.supervisor.parent_death import Watchdog
from robyn_server.supervisor.postgres.server import EmbeddedPostgres
from robyn_server.supervisor.restart_policy import RestartPolicy
from robyn_server.supervisor.supervisor import exit_text

CATALOGUE = """
CREATE TABLE public.agents (id uuid, name text, engine_id uuid);
CREATE TABLE public.agent_mcp_tools (agent_id uuid, mcp_tool_id uuid);
CREATE TABLE public.mcp_tools (endpoint_url text, id uuid);
CREATE TABLE public.global_ai_engines (id uuid, language_model_id uuid);
CREATE TABLE public.ai_models (id uuid);
INSERT INTO public.mcp_tools VALUES (:'legal_mcp_url'), (:'documents_mcp_url');
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory as initdb left it, to be copied: initdb takes longer than a copy."""
    path = tmp_path_factory.mktemp("cluster") / "data"
    database = EmbeddedPostgres(path)
    database.start()
    database.stop()
    return path


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    (folder / "catalogue.sql").write_text(CATALOGUE)
    for name in ("legal_mcp.py", "documents_mcp.py"):
        shutil.copy(PROGRAMS / "program_listener.py", folder / name)
    return folder


class Serving:
    """One `serve` of a test: its process, its greeting, and what its children wrote."""

    def __init__(self, data_dir: Path, demo: Path) -> None:
        self.data_dir = data_dir
        self.demo = demo
        self.chronicle = data_dir.with_suffix(".chronicle")
        self.process: subprocess.Popen[str] | None = None

    def launch(self, port: int = 0, **environment: str) -> subprocess.Popen[str]:
        self.chronicle.write_text("")
        given = {"CHRONICLE": str(self.chronicle), **environment}
        self.process = start_program("program_serve.py", self.data_dir, port, self.demo, environment=given)
        return self.process

    def start(self, port: int = 0, **environment: str) -> dict[str, Any]:
        """Launch, and wait for the greeting."""
        process = self.launch(port, **environment)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        return dict(json.loads(line))

    def events(self, kind: str, event: str = "started") -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.chronicle.read_text().splitlines() if line.endswith("}")]
        return [line for line in lines if (line["kind"], line["event"]) == (kind, event)]

    def pid(self, kind: str) -> int:
        return int(self.events(kind)[-1]["pid"])

    def postgres(self) -> int:
        return int((self.data_dir / "data" / "postmaster.pid").read_text().splitlines()[0])

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        assert self.process is not None
        return stop_program(self.process, number)

    def nothing_is_left(self) -> bool:
        return not find_processes(self.data_dir)


@pytest.fixture
def serving(tmp_path: Path, cluster: Path, demo: Path) -> Iterator[Serving]:
    shutil.copytree(cluster, tmp_path / "data dir")
    served = Serving(tmp_path / "data dir", demo)
    yield served
    if served.process is not None and served.process.poll() is None:
        served.process.kill()
        served.process.communicate()
    wait_until(served.nothing_is_left, "the end of all processes")


def test_serve_says_what_it_serves_when_everything_is_ready(serving: Serving) -> None:
    greeting = serving.start()
    assert greeting["event"] == "ready"
    assert greeting["agents"] == "1 from the catalogue (Contracts), 1 of graphs"
    assert greeting["example"] == "the-agent"
    assert str(serving.data_dir) in greeting["database"]
    assert f"web {serving.pid('web')}" in greeting["processes"]
    assert greeting["server"] == f"http://127.0.0.1:{serving.events('web')[0]['AGENTHALL_PORT']}"


def test_other_terminals_find_the_server_by_its_data_directory_while_it_lives(serving: Serving) -> None:
    greeting = serving.start()
    assert serving.process is not None
    assert find_running_server(serving.data_dir) == RunningServer(
        greeting["server"],
        serving.process.pid,
        {"AGENT_SYNC_SCOPE": "all", "AGENTHALL_DEFAULT_MODEL": "offline:demo", "AGENTHALL_EGRESS": "loopback"},
    )
    serving.stop()
    assert find_running_server(serving.data_dir) is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_everything_and_the_exit_code_is_0(serving: Serving, number: int) -> None:
    serving.start()
    assert len(find_processes(serving.data_dir)) >= 5
    code, _, _ = serving.stop(number)
    assert code == 0
    assert serving.nothing_is_left()


def test_web_stops_first_then_the_worker_then_the_demo_then_the_database(serving: Serving) -> None:
    serving.start()
    serving.stop()
    log = serving.data_dir / "logs"
    web, worker, demo_end, database = (
        _event_order(serving, "web"),
        _event_order(serving, "worker"),
        (log / "legal_mcp.log").stat().st_mtime_ns,
        (log / "postgres.log").stat().st_mtime_ns,
    )
    assert web < worker
    assert serving.chronicle.stat().st_mtime_ns <= demo_end <= database
    assert "database system is shut down" in (log / "postgres.log").read_text()


def _event_order(serving: Serving, kind: str) -> int:
    lines = [json.loads(line) for line in serving.chronicle.read_text().splitlines()]
    return next(at for at, line in enumerate(lines) if (line["kind"], line["event"]) == (kind, "stopped"))


@pytest.mark.parametrize("kind", ["web", "worker"])
def test_a_killed_child_is_started_again(serving: Serving, kind: str) -> None:
    serving.start()
    os.kill(serving.pid(kind), signal.SIGKILL)
    wait_until(lambda: len(serving.events(kind)) == 2, "the second life")
    code, _, errors = serving.stop()
    assert code == 0
    assert f"{kind} ended (SIGKILL); starting it again" in errors
    one, two = (event["AGENTHALL_KEEPER_ID"] for event in serving.events(kind))
    assert one == two, "who takes its place answers for its instances"


def test_a_child_that_keeps_crashing_is_started_again_after_growing_pauses(serving: Serving) -> None:
    serving.launch(WORKER_DOES="crash")
    wait_until(lambda: len(serving.events("worker")) >= 4, "four lives")
    code, out, errors = serving.stop()
    assert code == 0
    assert out == ""  # never ready
    pauses = [float(json.loads(line)["after"].rstrip("s")) for line in errors.splitlines() if "ended" in line]
    assert pauses[0] <= 0.1
    assert 0.2 <= pauses[2] <= 0.4


def test_pauses_double_up_to_a_limit_until_the_child_gets_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restart_policy, "JITTER", 0.0)
    timing = RestartPolicy(initial=0.1, maximum=1.0)
    assert [timing.pause(0.5, was_ready=False) for _ in range(5)] == [0.1, 0.2, 0.4, 0.8, 1.0]
    assert timing.pause(0.5, was_ready=True) == 0.0
    assert timing.pause(0.5, was_ready=False) == 0.1


def test_a_child_that_gets_ready_and_exits_at_once_takes_no_core() -> None:
    assert RestartPolicy(interval=0.25).pause(0.05, was_ready=True) == pytest.approx(0.2)


def test_a_web_process_that_is_aborted_again_and_again_starts_at_once_each_time(serving: Serving) -> None:
    serving.start()
    for lives in range(1, 9):
        wait_until(lambda: len(serving.events("web", "ready")) == lives, "readiness")  # noqa: B023 - called at once
        os.kill(serving.pid("web"), signal.SIGABRT)
        wait_until(lambda: len(serving.events("web")) == lives + 1, "the next life")  # noqa: B023 - as above
    _, _, errors = serving.stop()
    pauses = [float(json.loads(line)["after"].rstrip("s")) for line in errors.splitlines() if "SIGABRT" in line]
    assert len(pauses) == 8
    assert max(pauses) <= 0.25


def test_a_child_that_calls_the_settings_wrong_ends_the_server_with_2(serving: Serving) -> None:
    process = serving.launch(WEB_DOES="misconfigured")
    _, errors = process.communicate(timeout=DEADLINE)
    assert process.returncode == 2
    assert "web cannot work with these settings" in errors
    assert serving.nothing_is_left()


def test_a_second_signal_kills_who_does_not_leave(serving: Serving) -> None:
    serving.start(WORKER_DOES="stubborn")
    assert serving.process is not None
    serving.process.send_signal(signal.SIGINT)
    wait_until(lambda: serving.events("web", "stopped"), "the end of web")
    code, _, _ = serving.stop(signal.SIGINT)
    assert code == 130
    assert serving.nothing_is_left()


def test_who_does_not_leave_within_the_grace_is_killed(serving: Serving) -> None:
    serving.start(WORKER_DOES="stubborn", AGENTHALL_DRAIN_SECONDS="-4.8")  # 0.2 s with what is added to a drain
    code, _, errors = serving.stop()
    assert code == 0
    assert "not stopped within the grace" in errors


def test_nothing_outlives_a_killed_supervisor_and_the_next_start_works(serving: Serving) -> None:
    serving.start()
    assert serving.process is not None
    pids = [serving.pid("web"), serving.pid("worker"), serving.postgres()]
    serving.process.kill()
    serving.process.communicate()
    for pid in pids:
        wait_until(lambda pid=pid: is_gone(pid), f"the end of {pid}")
    assert serving.start()["event"] == "ready"


def test_a_killed_database_is_started_again(serving: Serving) -> None:
    serving.start()
    first = serving.postgres()
    dsn = serving.events("worker")[0]["dsn"]
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: _answers(dsn), "an answer of the database")
    assert serving.postgres() != first
    assert len(serving.events("web")) == 1
    assert serving.stop()[0] == 0


def _answers(dsn: str) -> bool:
    try:
        with psycopg.connect(dsn, connect_timeout=5) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


def test_a_second_serve_on_the_same_directory_is_refused(serving: Serving) -> None:
    serving.start()
    assert serving.process is not None
    second = start_program("program_serve.py", serving.data_dir, 0, serving.demo)
    _, errors = second.communicate(timeout=DEADLINE)
    assert second.returncode == 2
    assert f"in use by another `agenthall serve` (pid {serving.process.pid})" in errors


def test_a_taken_port_is_refused_by_the_name_of_the_setting(serving: Serving) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        process = serving.launch(port=other.getsockname()[1])
        _, errors = process.communicate(timeout=DEADLINE)
    assert process.returncode == 2
    assert errors.startswith(f"port {other_port(errors)} on 127.0.0.1 is taken by another program; choose another")
    assert "--port or AGENTHALL_PORT" in errors
    assert not (serving.data_dir / "logs" / "legal_mcp.log").exists()


def other_port(message: str) -> str:
    return message.split()[1]


def test_several_web_processes_share_one_port(serving: Serving) -> None:
    greeting = serving.start(AGENTHALL_WEB_PROCESSES="2")
    assert "web-1" in greeting["processes"]
    assert len({event["pid"] for event in serving.events("web")}) == 2
    assert len({event["AGENTHALL_PORT"] for event in serving.events("web")}) == 1
    assert len({event["AGENTHALL_KEEPER_ID"] for event in serving.events("web")}) == 2


def test_the_password_of_the_database_is_in_no_argument(serving: Serving) -> None:
    serving.start()
    password = (serving.data_dir / "password").read_text()
    assert not [line for line in map(command_line, find_processes(serving.data_dir)) if password in line]


def test_the_demo_is_loaded_once_and_keeps_its_ports(serving: Serving) -> None:
    serving.start()
    dsn, environment = serving.events("web")[0]["dsn"], serving.events("web")[0]
    with psycopg.connect(dsn) as connection:
        urls = [str(url) for (url,) in connection.execute("SELECT endpoint_url FROM public.mcp_tools")]
    assert (environment["AGENT_SYNC_SCOPE"], environment["AGENTHALL_DEFAULT_MODEL"]) == ("all", "offline:demo")
    ports = json.loads((serving.data_dir / "demo.json").read_text())["ports"]
    assert urls == [f"http://127.0.0.1:{ports[name]}/mcp" for name in ("legal", "documents")]
    assert "url given: False" in (serving.data_dir / "logs" / "legal_mcp.log").read_text()
    assert "catalogue is loaded" in serving.stop()[2]
    serving.start()
    assert json.loads((serving.data_dir / "demo.json").read_text())["ports"] == ports
    assert "catalogue is loaded" not in serving.stop()[2]


def demo_ports(serving: Serving) -> dict[str, int]:
    ports: dict[str, int] = json.loads((serving.data_dir / "demo.json").read_text())["ports"]
    return ports


def tool_urls(serving: Serving) -> list[str]:
    with psycopg.connect(serving.events("web")[-1]["dsn"]) as connection:
        return [str(url) for (url,) in connection.execute("SELECT endpoint_url FROM public.mcp_tools ORDER BY 1")]


def test_a_server_of_the_demo_moves_from_a_port_that_is_taken(serving: Serving) -> None:
    serving.start()
    before = demo_ports(serving)
    serving.stop()
    with socket.create_server(("127.0.0.1", before["legal"])):
        serving.start()
        after = demo_ports(serving)
        assert after["legal"] != before["legal"] and after["documents"] == before["documents"]
        assert tool_urls(serving) == sorted(f"http://127.0.0.1:{port}/mcp" for port in after.values())
    assert f"port {before['legal']} of the demo's legal server is taken" in serving.stop()[2]
    serving.start()
    assert demo_ports(serving) == after, "it stays where its URL leads"


def test_what_the_user_set_stands_against_the_demo(serving: Serving) -> None:
    serving.start(AGENT_SYNC_SCOPE="none", AGENTHALL_DEFAULT_MODEL="openai:gpt-4o")
    first = serving.events("web")[0]
    assert (first["AGENT_SYNC_SCOPE"], first["AGENTHALL_DEFAULT_MODEL"]) == ("none", "openai:gpt-4o")


def test_a_catalogue_elsewhere_leaves_no_place_for_the_demo(serving: Serving) -> None:
    serving.start(CATALOGUE_DATABASE_URL="postgresql://elsewhere/crm", AGENT_SYNC_SCOPE="all")
    assert not (serving.data_dir / "demo.json").exists()
    assert serving.events("web")[0]["AGENT_SYNC_SCOPE"] == "all"


def test_a_catalogue_of_the_users_own_is_not_touched(serving: Serving) -> None:
    database = EmbeddedPostgres(serving.data_dir)
    with psycopg.connect(database.start()) as connection:
        connection.execute("CREATE TABLE public.agents (name text)")
    database.stop()
    serving.start()
    assert serving.events("web")[0]["AGENT_SYNC_SCOPE"] is None
    assert not (serving.data_dir / "demo.json").exists()


def test_with_a_database_url_neither_database_nor_demo_is_started(serving: Serving) -> None:
    greeting = serving.start(DATABASE_URL="postgres://me:secret@db.example/agents?pgbouncer=true")
    assert greeting["database"] == "postgresql://me@db.example/agents"
    assert serving.events("web")[0]["dsn"] == "postgresql://me:secret@db.example/agents"
    assert not (serving.data_dir / "data" / "postmaster.pid").exists()
    assert serving.stop()[0] == 0


def test_the_idle_supervisor_is_small(serving: Serving) -> None:
    serving.start()
    assert serving.process is not None
    assert psutil.Process(serving.process.pid).memory_full_info().pss < 24 * 1024 * 1024
    assert psutil.Process(serving.process.pid).num_threads() == 1


def test_a_watchdog_acts_when_its_owner_is_killed_and_not_when_it_stood_down(tmp_path: Path) -> None:
    """The way of systems without a death signal."""
    program = (
        "from robyn_server.supervisor.parent_death import Watchdog as W; import sys; w = W(['touch', sys.argv[1]]);"
    )
    for ending, acts in (("print(1, flush=True); input()", True), ("w.cancel(); print(1, flush=True)", False)):
        mark = tmp_path / f"mark {acts}"
        owner = _python(program + ending, mark)
        assert owner.stdout is not None
        owner.stdout.readline()
        owner.kill()
        owner.communicate()
        if acts:
            wait_until(mark.exists, "the watchdog's deed")
        assert mark.exists() is acts


def _python(program: str, *arguments: object) -> subprocess.Popen[str]:
    (folder := Path(str(arguments[0])).parent / "program.py").write_text(program)
    return start_program(str(folder), *arguments)


def test_a_watchdog_can_be_stood_down_after_its_process_ended() -> None:
    Watchdog(["false"]).cancel()


@pytest.mark.parametrize(("code", "text"), [(3, "exit code 3"), (-9, "SIGKILL"), (-200, "signal 200")])
def test_exit_codes_are_told_by_name(code: int, text: str) -> None:
    assert exit_text(code) == text
