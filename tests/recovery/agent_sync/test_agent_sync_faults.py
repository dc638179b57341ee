"""Agent sync beside processes that are killed: nothing is lost, doubled or left half done, and nobody has to restart a
server."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Iterator
from functools import partial
from uuid import uuid4

import pytest
from databases import fresh_database, private_postgres
from run_observer import DatabaseObserver, observe_database
from servers.live_server import LiveServer, live_server, until
from synced_server import (
    AGENTS,
    INCONSISTENT,
    SETTINGS,
    all_synced,
    count_synced,
    has_prompt,
    install_catalogue,
    open_connection,
    synced_server,
    update_prompt,
)

from robyn_server.supervisor.postgres.server import EmbeddedPostgres

ROUNDS = int(os.environ.get("AGENTHALL_TEST_KILLS", "6"))
"""Replicas killed in the middle of a sync; a second and a half each."""


@pytest.fixture(autouse=True)
def check_invariants() -> None:
    """No runs here."""


# the catalogue's database


@pytest.fixture
def catalogue_server() -> Iterator[EmbeddedPostgres]:
    with private_postgres(fsync="off") as postgres:
        yield postgres


async def _killed_and_back(postgres: EmbeddedPostgres) -> None:
    """The postmaster dies with -9. Its backends keep its memory until they have noticed: a start before that fails."""
    assert postgres.pid is not None
    os.kill(postgres.pid, signal.SIGKILL)
    await until(lambda: postgres.poll() is not None)
    postgres.launch()

    def is_up() -> bool:
        if postgres.poll() is not None:
            postgres.launch()
        return postgres.is_ready()

    await until(is_up)


async def test_a_catalogue_that_dies_during_a_sync_is_synced_when_it_is_back(
    catalogue_server: EmbeddedPostgres, postgres: str, template: str
) -> None:
    agents, catalogue = 4_000, catalogue_server.dsn
    await install_catalogue(catalogue)
    async with (
        fresh_database(postgres, template) as url,
        live_server(url, webs=2, workers=0, CATALOGUE_DATABASE_URL=catalogue, **SETTINGS) as server,
        observe_database(url) as observer,
    ):
        async with open_connection(catalogue) as product_database:
            await product_database.execute(AGENTS, agents, uuid4())
            await until(lambda: count_synced(observer))
        await _killed_and_back(catalogue_server)
        at_the_kill = await count_synced(observer)
        assert at_the_kill < agents, "it was killed in the middle"
        await until(lambda: all_synced(observer, agents))
        server.check_alive()
        assert await observer.rows(INCONSISTENT) == []
        async with open_connection(catalogue) as product_database:
            owed = "select count(*) from public.agents where langgraph_assistant_id is distinct from id::text"
            assert await product_database.fetchval(owed) == 0
            edited = str(await product_database.fetchval("select min(id::text) from public.agents"))
            await update_prompt(product_database, edited, "after the restart")
        await until(lambda: has_prompt(observer, edited, "after the restart"))


# replicas that are killed


async def test_replicas_killed_in_the_middle_of_a_sync_leave_nothing_doubled_or_half_done(
    postgres: str, template: str
) -> None:
    """Each round: 600 new agents, two replicas, one of them dead after a random moment.

    Its successor joins the next round.
    """
    began, met = time.monotonic(), 0
    async with synced_server(postgres, template, webs=2) as (server, observer, product_database):
        for number in range(1, ROUNDS + 1):
            await product_database.execute(AGENTS, 600, uuid4())
            met += await _killed_at_random(server, observer, random.Random(number), number * 600)
            await until(partial(all_synced, observer, number * 600))
            assert await observer.rows(INCONSISTENT) == [], f"round {number}"
    print(f"\n{ROUNDS} kills in {time.monotonic() - began:.1f} s, {met} of them with work left to do")  # noqa: T201  shown with -s


async def _killed_at_random(server: LiveServer, observer: DatabaseObserver, chance: random.Random, agents: int) -> bool:
    """Whether something was left to do at that moment. Which of the two dies is as random as when."""
    await asyncio.sleep(chance.uniform(0, 0.4))  # the fault's moment, not a wait for anything
    victim = chance.choice(server.webs)
    victim.kill()
    left = not await all_synced(observer, agents)
    await victim.ended()
    victim.log.unlink()
    victim.start()
    await server.ready()
    return left
