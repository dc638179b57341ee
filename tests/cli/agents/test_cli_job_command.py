"""`agenthall agents register --exec`: a command for each job."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest
from bots.server_jobs import ServerJob, create_job
from databases import fresh_database
from deadlines import DEADLINE
from servers.live_server import LiveServer, live_server, until
from users.issued_api_keys import issue_api_key

from robyn_server.supervisor.parent_death import death_signal

HARBOUR = "0a000000-0000-4000-8000-0000000000d2"


@pytest.fixture(scope="module")
async def server(postgres: str, template: str) -> AsyncIterator[LiveServer]:
    """Its worker sweeps jobs."""
    async with (
        fresh_database(postgres, template) as database,
        live_server(database, AUTH_MODE="keys") as live,
    ):
        live.environment |= {"AGENTHALL_URL": live.url, "AGENTHALL_API_KEY": await issue_api_key(database, HARBOUR)}
        yield live


@pytest.fixture
async def connection(server: LiveServer) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(server.database)
    yield connection
    await connection.close()


class Registered:
    """A running `agenthall agents register`."""

    def __init__(self, popen: subprocess.Popen[bytes], log: Path) -> None:
        self.popen = popen
        self._log = log

    def read(self) -> str:
        return self._log.read_text(errors="replace")

    async def says(self, text: str) -> None:
        await until(lambda: text in self.read())

    async def ended(self) -> int:
        return await asyncio.to_thread(self.popen.wait, DEADLINE)


Start = Callable[..., Registered]


@pytest.fixture
def start(server: LiveServer, tmp_path: Path) -> Iterator[Start]:
    started: list[Registered] = []

    def start(agent_id: str, command: str, *options: str) -> Registered:
        log = tmp_path / f"{len(started)}.log"
        with log.open("wb") as out:
            popen = subprocess.Popen(
                [sys.executable, "-m", "robyn_server", "agents", "register", agent_id, "--exec", command, *options],
                env=server.environment,
                cwd=tmp_path,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                preexec_fn=_prepare,  # noqa: PLW1509 - it takes no lock
            )
        started.append(Registered(popen, log))
        return started[-1]

    yield start
    for each in started:
        each.popen.kill()
        each.popen.wait()
        print(each.read())  # noqa: T201 - for the report of a test that fails


_END_WITH_THE_TESTS = death_signal(signal.SIGKILL)


def _prepare() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a suite that runs in the background hands on that it is ignored
    _END_WITH_THE_TESTS()


async def job_of(connection: asyncpg.Connection, agent_id: str, **request: Any) -> ServerJob:
    """A job of an agent that is registered."""

    async def is_known() -> bool:
        return bool(await connection.fetchval("select true from mcp.agent_configurations where name = $1", agent_id))

    await until(is_known)
    return await create_job(connection, HARBOUR, agent_id, request, retry="always")


async def test_lines_of_the_command_are_tokens_and_its_input_is_the_job(
    start: Start, connection: asyncpg.Connection
) -> None:
    start("cli-echo", 'echo "try $AGENTHALL_ATTEMPT"; cat; printf "\\nthe end"')
    job = await job_of(connection, "cli-echo", input={"messages": ["ä"]}, resume={"yes": True})
    assert (await job.ended())["state"] == "succeeded"
    first, given, last = (await job.tokens()).split("\n")
    assert (first, last) == ("try 1", "the end")
    assert f'"job_id": "{job.job_id}"' in given and '"messages": ["ä"]' in given and '"resume": {"yes": true}' in given


async def test_a_status_other_than_zero_is_an_error_with_the_last_lines(
    start: Start, connection: asyncpg.Connection
) -> None:
    start("cli-fails", "echo some; seq 30 >&2; exit 3")
    ended = await (await job_of(connection, "cli-fails")).ended()
    lines = "\\n".join(map(str, range(11, 31)))
    assert ended["state"] == "failed" and f'"message": "{lines}"' in ended["error"]


async def test_a_cancelled_job_ends_the_group_of_its_command(
    start: Start, connection: asyncpg.Connection, tmp_path: Path
) -> None:
    start("cli-cancel", "sleep 1000 & echo $! > child; echo begun; trap 'echo stopped >> child; exit 0' TERM; wait")
    job = await job_of(connection, "cli-cancel")
    await job.has_tokens()
    await job.cancel()
    assert (await job.ended())["state"] == "cancelled"
    child, trapped = (tmp_path / "child").read_text().split()
    assert trapped == "stopped"
    await until(lambda: not psutil.pid_exists(int(child)))


async def test_a_command_that_ignores_sigterm_is_killed(start: Start, connection: asyncpg.Connection) -> None:
    start("cli-deaf", "trap '' TERM; echo $$; while :; do sleep 0.1; done")
    job = await job_of(connection, "cli-deaf")
    await job.has_tokens()
    pid = int(await job.tokens())
    await job.cancel()
    await until(lambda: not psutil.pid_exists(pid))
    assert (await job.ended())["state"] == "cancelled"


async def test_as_many_commands_run_at_a_time_as_there_are_slots(
    start: Start, connection: asyncpg.Connection, tmp_path: Path
) -> None:
    start("cli-slots", "touch $AGENTHALL_JOB_ID; while [ ! -e go ]; do sleep 0.05; done", "--slots", "2")
    jobs = [await job_of(connection, "cli-slots") for _ in range(3)]
    await until(lambda: len(list(tmp_path.glob("*-*-*"))) == 2)
    assert sorted([(await job.row())["state"] for job in jobs]) == ["queued", "running", "running"]
    (tmp_path / "go").touch()
    assert [(await job.ended())["state"] for job in jobs] == ["succeeded"] * 3


async def test_ctrl_c_hands_the_job_back_and_deregisters(start: Start, connection: asyncpg.Connection) -> None:
    first = start("cli-stops", "echo begun; sleep 1000")
    job = await job_of(connection, "cli-stops")
    await job.has_tokens()
    first.popen.send_signal(signal.SIGINT)
    assert await first.ended() == 0
    assert "handed back" in first.read() or "lost" in first.read()
    start("cli-stops", "echo again")
    ended = await job.ended()
    assert (ended["state"], ended["attempt"], await job.tokens(2)) == ("succeeded", 2, "again")


async def test_a_draining_instance_finishes_its_job_and_leaves(
    server: LiveServer, start: Start, connection: asyncpg.Connection, tmp_path: Path
) -> None:
    registered = start("cli-drains", "echo begun; while [ ! -e go ]; do sleep 0.05; done; echo done")
    job = await job_of(connection, "cli-drains")
    await job.has_tokens()
    instance = await connection.fetchval("select instance_id from mcp.agent_jobs where id = $1", job.job_id)
    drained = subprocess.run(
        [sys.executable, "-m", "robyn_server", "agents", "drain", instance],
        env=server.environment,
        capture_output=True,
        check=False,
    )
    assert drained.returncode == 0, drained.stderr
    (tmp_path / "go").touch()
    assert await registered.ended() == 0 and "leaving" in registered.read()
    assert (await job.ended())["state"] == "succeeded" and await job.tokens() == "begun\ndone"


async def test_a_command_goes_on_while_the_server_restarts(
    server: LiveServer, start: Start, connection: asyncpg.Connection, tmp_path: Path
) -> None:
    start("cli-lasts", "echo begun; while [ ! -e go ]; do sleep 0.05; done; echo done")
    job = await job_of(connection, "cli-lasts")
    await job.has_tokens()
    server.webs[0].kill()
    await server.webs[0].ended()
    (tmp_path / "go").touch()
    server.webs[0].start()
    ended = await job.ended()
    assert (ended["state"], ended["attempt"], await job.tokens()) == ("succeeded", 1, "begun\ndone")


def test_slots_without_a_command_are_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "robyn_server", "agents", "register", "x", "--slots", "2"],
        env={**os.environ, "AGENTHALL_URL": "http://127.0.0.1:1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and "--exec" in done.stderr
