"""`agenthall agents`, against a server that asks for keys."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import signal
import subprocess
import sys
import termios
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import httpx
import orjson
import pytest
from commands.pseudo_terminal import until_closed
from databases import fresh_database
from deadlines import DEADLINE
from servers.live_server import live_server, until
from users.issued_api_keys import issue_api_key

from robyn_server.cli import main
from robyn_server.core.access.principal import ADMIN
from robyn_server.supervisor.address_file import RunningServer, published_address

HARBOUR = "0a000000-0000-4000-8000-0000000000d1"
_OURS = ("AGENT", "AUTH_", "DATABASE_", "CATALOGUE_")
_SURROUNDINGS = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}


_STYLE = re.compile(r"\x1b\[[0-9;]*m")


class Said(NamedTuple):
    status: int
    out: str
    err: str


@dataclass
class Shell:
    """A terminal with the server's address and a key in its environment. `start` runs a command until it is ended."""

    environment: dict[str, str]
    folder: Path
    capsys: pytest.CaptureFixture[str]
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def run(self, *arguments: str, **environment: str) -> Said:
        """In this process, as the entry point runs it."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**self.environment, **environment}.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["agenthall", "agents", *arguments])
            with pytest.raises(SystemExit) as left:
                main()
        return Said(int(left.value.code or 0), *self.capsys.readouterr())

    def json(self, *arguments: str) -> Any:
        done = self.run(*arguments, "-o", "json")
        assert done.status == 0, done.err
        return orjson.loads(done.out)

    def start(self, *arguments: str) -> tuple[subprocess.Popen[bytes], Callable[[], str]]:
        """The process, and what it has said so far (both streams)."""
        log = self.folder / f"{len(self.started)}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "robyn_server", "agents", *arguments],
                env={**_SURROUNDINGS, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                # a suite that runs in the background hands on that it ignores Ctrl-C
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - it takes no lock
            )
        self.started.append(process)
        return process, log.read_text

    def in_terminal(self, columns: int, *arguments: str) -> list[str]:
        """The lines that a terminal of so many columns is sent, without colours."""
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, columns))
        command = [sys.executable, "-m", "robyn_server", "agents", *arguments]
        surroundings = {name: value for name, value in _SURROUNDINGS.items() if name not in {"COLUMNS", "LINES"}}
        environment = {**surroundings, **self.environment, "TERM": "xterm", "NO_COLOR": "1"}
        process = subprocess.Popen(command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        said = b"".join(until_closed(ours))
        assert process.wait(timeout=DEADLINE) == 0, said
        return [_STYLE.sub("", line).rstrip("\r") for line in said.decode().splitlines()]


async def ended(process: subprocess.Popen[bytes]) -> int:
    await until(lambda: process.poll() is not None)
    return int(process.returncode)


@pytest.fixture(scope="module")
async def surroundings(postgres: str, template: str) -> AsyncIterator[dict[str, str]]:
    async with fresh_database(postgres, template) as url:
        await _beat_often(url)
        async with live_server(url, workers=0, AUTH_MODE="keys") as server:
            key = await issue_api_key(url, HARBOUR)
            yield {"AGENTHALL_URL": server.url, "AGENTHALL_API_KEY": key, "REGISTRY_DATABASE": url}


async def _beat_often(url: str) -> None:
    """A command sees with its heartbeat what has become of its instance."""
    connection = await asyncpg.connect(url)
    name = await connection.fetchval("select current_database()")
    await connection.execute(f"alter database \"{name}\" set mcp.heartbeat_interval = '300 ms'")
    await connection.close()


@pytest.fixture
def shell(surroundings: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    made = Shell(surroundings, tmp_path, capsys)
    yield made
    for process in made.started:
        process.kill()
        process.wait()


async def test_an_instance_is_registered_watched_described_and_drained_from_four_terminals(shell: Shell) -> None:
    watching, watched = shell.start("watch", "--agent", "demo-bot")
    await until(lambda: "TIME" in watched())
    living, lived = shell.start(
        "register", "demo-bot", "--instance-id", "desk 1", "--capability", "summarise", "--version", "1.2.0"
    )
    await until(lambda: "demo-bot desk 1 is active, healthy (epoch 1" in lived())
    (found,) = shell.json("list", "--capability", "summarise", "--version", ">=1.2,<2")
    assert (found["agent_id"], found["instance_id"], found["tenant_id"]) == ("demo-bot", "desk 1", HARBOUR)
    table = shell.run("list").out
    assert "demo-bot" in table and found["registration_id"] in table and "summarise" in table
    described = shell.json("describe", "desk 1")
    assert described["registration_id"] == found["registration_id"]
    assert [each["kind"] for each in described["history"]["events"]] == ["registered"]
    shown = shell.run("describe", found["registration_id"]).out
    assert all(each in shown for each in ("1.2.0", "registered", "circuit breaker", "health check"))
    drained = shell.run("drain", "desk 1", "--reason", "lunch")
    assert drained == (0, "demo-bot desk 1 is draining\n", ""), drained
    assert await ended(living) == 0
    assert "is draining" in lived() and "leaving" in lived()
    await until(lambda: "deregistered" in watched())
    assert ["registered" in watched(), "draining" in watched()] == [True, True]
    assert shell.json("list", "--agent", "demo-bot") == []
    assert shell.json("list", "--agent", "demo-bot", "--status", "inactive")[0]["registration_status"] == "inactive"
    watching.send_signal(signal.SIGINT)
    assert await ended(watching) == 0


async def test_a_table_fits_the_terminal_and_its_short_ids_are_taken_for_the_whole(shell: Shell) -> None:
    living, lived = shell.start(
        "register", "narrow-bot", "--instance-id", "desk-" + "x" * 60, "--capability", "summarise"
    )
    await until(lambda: "epoch 1" in lived())
    (found,) = shell.json("list", "--agent", "narrow-bot")
    lines = await asyncio.to_thread(shell.in_terminal, 80, "list", "--agent", "narrow-bot")
    assert len(lines) == 3 and max(map(len, lines)) <= 80, lines
    short = lines[2].split()[-1]
    assert found["registration_id"].startswith(short) and len(short) < len(found["registration_id"])
    assert shell.json("describe", short)["registration_id"] == found["registration_id"]
    assert shell.run("describe", short[:3]).err.startswith("agenthall: no registration and no instance has the id")
    assert shell.run("drain", short).out.endswith("is draining\n")
    assert await ended(living) == 0


_COPY = """
insert into mcp.agent_instances (id, tenant_id, manifest_id, agent_id, instance_id, name, registration_status, ended_at)
select $2::uuid, i.tenant_id, i.manifest_id, i.agent_id, ($2::uuid)::text, i.name, 'inactive', now() from mcp.agent_instances i where i.id = $1
"""


async def test_a_beginning_that_fits_several_is_refused_and_they_are_named(shell: Shell) -> None:
    ids = [f"feedbeef-0000-4000-8000-00000000000{last}" for last in "12"]
    headers = {"x-api-key": shell.environment["AGENTHALL_API_KEY"]}
    async with httpx.AsyncClient(base_url=shell.environment["AGENTHALL_URL"], headers=headers) as http:
        made = await http.post("/agents/instances", json={"agent_id": "alike-bot", "instance_id": "first"})
    connection = await asyncpg.connect(shell.environment["REGISTRY_DATABASE"])
    for each in ids:
        await connection.execute(_COPY, made.json()["registration_id"], each)
    await connection.close()
    refused = shell.run("describe", "feedbeef")
    assert (refused.status, refused.out) == (1, "") and all(each in refused.err for each in ids)
    assert shell.json("describe", ids[1][:36])["registration_id"] == ids[1]


async def test_programs_read_one_object_per_line(shell: Shell) -> None:
    living, lived = shell.start("register", "line-bot", "-o", "json")
    await until(lambda: lived().endswith("\n"))
    instance = orjson.loads(lived())
    watching, watched = shell.start("watch", "--agent", "line-bot", "-o", "json")
    await until(lambda: watched().count("\n") == 1)
    living.send_signal(signal.SIGTERM)
    assert await ended(living) == 0
    await until(lambda: watched().count("\n") == 2)
    listed, gone = map(orjson.loads, watched().splitlines())
    assert (listed["kind"], gone["kind"]) == ("listed", "deregistered")
    assert listed["registration_id"] == gone["registration_id"] == instance["registration_id"]
    watching.send_signal(signal.SIGTERM)
    assert await ended(watching) == 0


async def test_who_is_taken_over_says_so_and_fails(shell: Shell) -> None:
    living, lived = shell.start("register", "twin-bot", "--instance-id", "twin")
    await until(lambda: "epoch 1" in lived())
    headers = {"x-api-key": shell.environment["AGENTHALL_API_KEY"]}
    async with httpx.AsyncClient(base_url=shell.environment["AGENTHALL_URL"], headers=headers) as http:
        again = await http.post("/agents/instances", json={"agent_id": "twin-bot", "instance_id": "twin"})
    assert again.json()["epoch"] == 2
    assert await ended(living) == 1
    assert "registered again" in lived()


@pytest.mark.parametrize(
    ("arguments", "environment", "said", "status"),
    [
        (("describe", "nobody"), {}, "the id nobody", 1),
        (("drain", "0a000000-0000-4000-8000-0000000000ff"), {}, "no registration", 1),
        (("list", "--version", "soon"), {}, "version", 1),
        (("list", "--status", "asleep"), {}, "--status", 2),
        (("list",), {"AGENTHALL_API_KEY": ""}, "agenthall keys create", 1),
        (("list",), {"AGENTHALL_API_KEY": "ahk_wrong"}, "key", 1),
        (("list",), {"AGENTHALL_TENANT": "0b000000-0000-4000-8000-000000000002"}, "member", 1),
        (("list",), {"AGENTHALL_URL": "ftp://here"}, "no http or https", 2),
        (("watch",), {"AGENTHALL_URL": "http://127.0.0.1:9"}, "no server at", 1),
        (("list",), {"AGENTHALL_URL": "http://127.0.0.1:9"}, "name another with --url (AGENTHALL_URL)", 1),
        (
            ("list",),
            {"AGENTHALL_URL": "", "AGENTHALL_PORT": "9"},
            "http://127.0.0.1:9 (no `agenthall serve` runs in",
            1,
        ),
        (("register",), {}, "AGENT_ID", 2),
    ],
)
def test_what_goes_wrong_is_one_line_and_an_exit_code(
    shell: Shell, arguments: tuple[str, ...], environment: dict[str, str], said: str, status: int
) -> None:
    done = shell.run(*arguments, **environment)
    assert (done.status, done.out) == (status, ""), done.err
    assert said in done.err
    if status == 1:
        assert done.err.startswith("agenthall: ") and done.err.count("\n") == 1


def test_without_a_url_the_server_of_the_data_directory_is_asked(shell: Shell) -> None:
    there = RunningServer(shell.environment["AGENTHALL_URL"], os.getpid())
    settings = {"AGENTHALL_URL": "", "AGENTHALL_PORT": "9", "AGENTHALL_DATA_DIR": str(shell.folder)}
    with published_address(shell.folder, there):
        assert shell.run("list", **settings).status == 0
        assert (
            shell.run("list", "--data-dir", str(shell.folder), **{**settings, "AGENTHALL_DATA_DIR": "/nowhere"}).status
            == 0
        )
    assert "http://127.0.0.1:9 (no `agenthall serve` runs in" in shell.run("list", **settings).err


def test_a_server_that_lives_and_does_not_answer_is_named(shell: Shell) -> None:
    with published_address(shell.folder, RunningServer("http://127.0.0.1:9", 4711)):
        done = shell.run("list", AGENTHALL_URL="", AGENTHALL_DATA_DIR=str(shell.folder))
    assert done.status == 1
    assert f"as the `agenthall serve` of {shell.folder}, pid 4711, has written there" in done.err


async def test_configurations_manifests_and_instances_are_handled_from_the_terminal(shell: Shell) -> None:
    made = shell.json("configurations", "set", "cfg-bot", "--max-workload", "3", "--configuration", '{"a": [1]}')
    assert (made["name"], made["max_workload"], made["configuration"]) == ("cfg-bot", 3, {"a": [1]})
    changed = shell.json("configurations", "set", "cfg-bot", "--no-enabled", "--capability", "a", "--capability", "b")
    assert (changed["enabled"], changed["max_workload"], changed["capabilities"]) == (False, 3, ["a", "b"])
    assert shell.json("configurations", "show", "cfg-bot") == changed
    assert "cfg-bot" in shell.run("configurations", "list").out and "cfg-bot" in shell.run("manifests", "list").out
    assert shell.json("manifests", "show", "cfg-bot")["published"] is False
    for option in ("--configuration", "--jobs"):
        for wrong, told in (("[1]", f"{option}: must be a JSON object"), ("{", f"{option}:")):
            refused = shell.run("configurations", "set", "cfg-bot", option, wrong)
            assert refused.status == 2 and told in refused.err
    for arguments in (("manifests", "set", "cfg-bot", "--published"), ("manifests", "delete", "cfg-bot")):
        refused = shell.run(*arguments)
        assert refused.status == 1 and "admin" in refused.err
    assert shell.run("configurations", "delete", "cfg-bot") == (0, "the configuration of cfg-bot is deleted\n", "")
    missing = shell.run("configurations", "show", "cfg-bot")
    assert missing.status == 1 and "cfg-bot" in missing.err
    assert "cfg-bot" not in shell.run("manifests", "list").out, "nothing else used the manifest"


async def test_an_administrator_sets_and_removes_the_state_schema_from_the_terminal(shell: Shell) -> None:
    key = await issue_api_key(shell.environment["REGISTRY_DATABASE"], HARBOUR, (ADMIN,))
    shell.environment = shell.environment | {"AGENTHALL_API_KEY": key}
    schema = {"type": "object", "properties": {"score": {"type": "number"}}}
    made = shell.json("manifests", "set", "state-bot", "--state-schema", orjson.dumps(schema).decode())
    assert made["state_schema"] == schema
    assert shell.json("manifests", "set", "state-bot", "--name", "State")["state_schema"] == schema
    refused = shell.run("manifests", "set", "state-bot", "--state-schema", '{"type": "array"}')
    assert refused.status == 1 and "state_schema.type" in refused.err
    assert shell.run("manifests", "set", "state-bot", "--state-schema", "[]").status == 2
    assert shell.json("manifests", "set", "state-bot", "--state-schema", "null")["state_schema"] is None


async def test_where_an_agent_runs_and_how_it_is_given_work_is_set_from_the_terminal(shell: Shell) -> None:
    made = shell.json("configurations", "set", "jobs-bot", "--jobs", '{"retry": "always", "max_attempts": 5}')
    assert (made["execution"], made["effective_execution"], made["jobs"]["max_attempts"]) == (None, "instances", 5)
    changed = shell.json("configurations", "set", "jobs-bot", "--execution", "here", "--jobs", '{"retry": "never"}')
    assert (changed["execution"], changed["jobs"]) == ("here", made["jobs"] | {"retry": "never"})
    assert "here" in shell.run("configurations", "list").out
    reset = shell.json("configurations", "set", "jobs-bot", "--execution", "default")
    assert (reset["execution"], reset["effective_execution"]) == (None, "instances")
    refused = shell.run("configurations", "set", "jobs-bot", "--jobs", '{"retry": "sometimes"}')
    assert refused.status == 1 and "jobs.retry" in refused.err


async def test_an_instance_is_deregistered_by_an_operator(shell: Shell) -> None:
    async with httpx.AsyncClient(base_url=shell.environment["AGENTHALL_URL"]) as http:
        headers = {"x-api-key": shell.environment["AGENTHALL_API_KEY"]}
        body = {"agent_id": "gone-bot", "instance_id": "desk-9"}
        assert (await http.post("/agents/instances", json=body, headers=headers)).status_code == 201
    done = shell.run("deregister", "desk-9", "--reason", "moved")
    assert done == (0, "gone-bot desk-9 is inactive\n", "")
    shown = shell.json("describe", "desk-9")
    assert (shown["registration_status"], shown["status_reason"]) == ("inactive", "moved")


async def test_an_instance_is_cordoned_and_uncordoned_by_an_operator(shell: Shell) -> None:
    async with httpx.AsyncClient(base_url=shell.environment["AGENTHALL_URL"]) as http:
        headers = {"x-api-key": shell.environment["AGENTHALL_API_KEY"]}
        body = {"agent_id": "cordoned-bot", "instance_id": "desk-11"}
        assert (await http.post("/agents/instances", json=body, headers=headers)).status_code == 201
    done = shell.run("cordon", "desk-11", "--reason", "bad answers")
    assert done.out.startswith("cordoned-bot desk-11 is cordoned since 20") and (done.status, done.err) == (0, "")
    shown = shell.json("describe", "desk-11")
    assert (shown["registration_status"], shown["cordon_reason"]) == ("active", "bad answers")
    assert "bad answers" in shell.run("describe", "desk-11").out
    assert shell.run("list", "--agent", "cordoned-bot").out == "no instances\n"
    assert " cordoned " in shell.run("list", "--agent", "cordoned-bot", "--status", "active").out
    assert shell.run("uncordon", "desk-11") == (0, "cordoned-bot desk-11 is not cordoned\n", "")
    assert " active " in shell.run("list", "--agent", "cordoned-bot").out
    assert shell.json("cordon", "desk-11")["cordon_reason"] == "cordoned by an operator"
    assert shell.json("uncordon", "desk-11")["cordoned_at"] is None


async def test_a_brake_is_listed_and_released(shell: Shell) -> None:
    assert shell.run("brakes", "list").out == "none\n"
    connection = await asyncpg.connect(shell.environment["REGISTRY_DATABASE"])
    async with httpx.AsyncClient(base_url=shell.environment["AGENTHALL_URL"]) as http:
        headers = {"x-api-key": shell.environment["AGENTHALL_API_KEY"]}
        for number in range(8):
            body = {"agent_id": "braked-bot", "instance_id": f"pod-{number}"}
            assert (await http.post("/agents/instances", json=body, headers=headers)).status_code == 201
    lapse = "update mcp.agent_leases l set lease_expires_at = now() - interval '1 min', keeper_id = null from mcp.agent_instances i where i.id = l.registration_id and i.agent_id = 'braked-bot'"
    await connection.execute(lapse)
    await until(lambda: connection.fetchval("select count(*) = 1 from mcp.agent_brakes"))
    (brake,) = shell.json("brakes", "list")
    assert (brake["agent_id"], brake["stale"], brake["total"]) == ("braked-bot", 8, 8)
    assert "braked-bot" in shell.run("brakes", "list").out
    stale = shell.json("list", "--health", "stale", "--agent", "braked-bot")
    assert len(stale) == 8
    assert shell.run("brakes", "release", "braked-bot") == (0, "the brake on braked-bot is released\n", "")
    assert shell.json("brakes", "list") == []
    again = shell.run("brakes", "release", "braked-bot")
    assert again.status == 1 and "braked-bot" in again.err
    await connection.close()
