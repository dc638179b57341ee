"""PostgreSQL goes away under running streams and comes back: nobody has to restart the server."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Iterator

import pytest
from databases import database_url, make_template, private_postgres, restart_postgres
from run_observer import STEPS, observe_database, start_streamed_run
from servers.live_server import LiveServer, live_server, until

from robyn_server.supervisor.postgres.server import EmbeddedPostgres

ALL = list(range(1, STEPS + 1))


@pytest.fixture(scope="module")
def database_server() -> Iterator[EmbeddedPostgres]:
    with private_postgres() as postgres:
        yield postgres


@pytest.fixture(scope="module")
async def server(database_server: EmbeddedPostgres) -> AsyncIterator[LiveServer]:
    url = database_url(database_server.dsn, await make_template(database_server.dsn))
    async with live_server(url, AGENTHALL_RUN_LEASE="300") as server:
        yield server


@pytest.fixture(autouse=True)
def check_invariants() -> None:
    """Not looked at here: see above."""


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGKILL])
async def test_runs_go_on_when_the_database_is_back(
    server: LiveServer, database_server: EmbeddedPostgres, number: int
) -> None:
    streams = [await start_streamed_run(server.sdk()) for _ in range(3)]
    for stream in streams:
        await stream.reached(2)
    await restart_postgres(database_server, number)
    for stream in streams:
        await stream.ended()
        assert stream.finished_steps == sorted(set(stream.finished_steps))
        assert len(stream.ids) == len(set(stream.ids))
    server.check_alive()
    async with observe_database(server.database) as observer:
        for stream in streams:
            await until(lambda at=stream.thread_id: observer.last_run_in(at, "success"))
            state = await server.sdk().threads.get_state(stream.thread_id)
            assert state["values"]["seen"] == ALL
        assert await observer.value("select max(attempt) from agenthall.runs") == 1
    assert await server.sdk().runs.wait(None, "echo", input={"text": "well"}) == {"text": "well"}
