"""`agenthall jobs`: list, show, cancel, watch."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from bots.sql_bot import SqlBot
from commands.command_line import agenthall
from databases import fresh_database
from servers.live_server import LiveServer, live_server, until

TENANT = UUID(int=1)


@pytest.fixture(scope="module")
async def server(postgres: str, template: str) -> AsyncIterator[LiveServer]:
    async with fresh_database(postgres, template) as url, live_server(url, AGENTHALL_DEV_TENANT=str(TENANT)) as running:
        yield running


@pytest.fixture
async def bot(server: LiveServer) -> AsyncIterator[SqlBot]:
    connection = await asyncpg.connect(server.database)
    made = SqlBot(connection, TENANT, f"bot-{uuid4().hex[:8]}")
    await made.register()
    yield made
    await connection.close()


async def _create(bot: SqlBot) -> str:
    query = "select id from mcp.create_agent_job($1, $2, '{}', start_within => null)"
    return str(await bot.connection.fetchval(query, bot.tenant, bot.agent_id))


def _json(server: LiveServer, *arguments: str) -> Any:
    done = agenthall("jobs", *arguments, "-o", "json", AGENTHALL_URL=server.url)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def test_jobs_are_listed_and_shown_with_their_offers(server: LiveServer, bot: SqlBot) -> None:
    await _create(bot)
    job_id = str((await bot.next_job()).job_id)
    (listed,) = _json(server, "list", "--agent", bot.agent_id)
    assert (listed["job_id"], listed["state"], listed["instance_id"]) == (job_id, "running", "sql")
    assert _json(server, "list", "--agent", bot.agent_id, "--state", "failed") == []
    shown = _json(server, "show", job_id)
    assert [(each["chosen_by"], each["outcome"]) for each in shown["offers"]][-1:] == [("least_used", None)]
    table = agenthall("jobs", "show", job_id, AGENTHALL_URL=server.url).stdout
    assert "least_used" in table and bot.agent_id in table


async def test_jobs_are_listed_by_instance(server: LiveServer, bot: SqlBot) -> None:
    other = SqlBot(bot.connection, TENANT, f"bot-{uuid4().hex[:8]}")
    await other.register()
    await _create(bot)
    job_id = str((await bot.next_job()).job_id)
    named = ("--agent", bot.agent_id, "--instance", "sql")  # as the instance of the other agent is
    (listed,) = _json(server, "list", *named)
    assert listed["job_id"] == job_id
    assert _json(server, "list", "--instance", listed["registration_id"], "--state", "running") == [listed]
    assert _json(server, "list", "--agent", other.agent_id, "--instance", "sql") == []
    unknown = agenthall("jobs", "list", "--instance", "nobody", AGENTHALL_URL=server.url)
    assert unknown.returncode != 0 and "no instance has the id nobody" in unknown.stderr
    elsewhere = agenthall(
        "jobs", "list", "--agent", other.agent_id, "--instance", listed["registration_id"], AGENTHALL_URL=server.url
    )
    assert elsewhere.returncode != 0


async def test_a_job_is_cancelled(server: LiveServer, bot: SqlBot) -> None:
    job_id = await _create(bot)
    done = agenthall("jobs", "cancel", job_id, "--reason", "a mistake", AGENTHALL_URL=server.url)
    assert done.stdout == f"job {job_id} is cancelled\n"
    assert _json(server, "show", job_id)["cancel_reason"] == "a mistake"


async def test_a_running_job_is_asked_to_stop(server: LiveServer, bot: SqlBot) -> None:
    await _create(bot)
    job = await bot.next_job()
    done = agenthall("jobs", "cancel", str(job.job_id), AGENTHALL_URL=server.url)
    assert done.stdout == f"job {job.job_id} is asked to stop\n"
    assert await job.is_cancelled()


async def test_all_open_jobs_of_an_agent_are_cancelled(server: LiveServer, bot: SqlBot) -> None:
    made = [await _create(bot) for _ in range(6)]  # the bot has four slots, so two of them wait
    running = await bot.next_job()
    done = agenthall("jobs", "cancel", "--agent", bot.agent_id, AGENTHALL_URL=server.url)
    asked = f"job {running.job_id} is asked to stop"
    others = {f"job {each} is cancelled" for each in made if each != str(running.job_id)}
    assert set(done.stdout.splitlines()) == {asked} | others
    assert await running.is_cancelled()
    await running.finish(state="cancelled")
    again = agenthall("jobs", "cancel", "--agent", bot.agent_id, AGENTHALL_URL=server.url)
    assert again.stdout == "no job is open\n"


@pytest.mark.parametrize("arguments", [(), (str(uuid4()), "--agent", "bot")])
async def test_a_cancellation_names_one_job_or_one_agent(server: LiveServer, arguments: tuple[str, ...]) -> None:
    done = agenthall("jobs", "cancel", *arguments, AGENTHALL_URL=server.url)
    assert done.returncode == 2 and "give the id of a job, or --agent" in " ".join(done.stderr.split())


async def test_an_unknown_job_is_an_error(server: LiveServer) -> None:
    done = agenthall("jobs", "show", str(uuid4()), AGENTHALL_URL=server.url)
    assert done.returncode == 1 and "no such job" in done.stderr


async def test_a_watch_shows_each_change(server: LiveServer, bot: SqlBot, tmp_path: Path) -> None:
    log = tmp_path / "watch.log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "robyn_server", "jobs", "watch", "--agent", bot.agent_id, "--url", server.url]
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        await until(lambda: "STATE" in log.read_text())
        await _create(bot)
        await until(lambda: "offered" in log.read_text())
        job = await bot.next_job()
        await until(lambda: "running" in log.read_text())
        await job.finish(result={})
        await until(lambda: "succeeded" in log.read_text())
    finally:
        process.terminate()
        assert process.wait() == 0, log.read_text()
