"""The feed of the catalogue is cut off or half open: edits are live in the end, and nobody has to restart a server."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import asyncpg
import pytest
from catalogues.catalogue_writer import CatalogueWriter
from databases import fresh_database
from network.faulty_proxy import PostgresProxy
from run_observer import DatabaseObserver, observe_database
from servers.live_server import live_server, until
from synced_server import (
    SETTINGS,
    count_synced,
    has_prompt,
    install_catalogue,
    is_zero,
    open_connection,
    synced_server,
    update_prompt,
)


@pytest.fixture(autouse=True)
def check_invariants() -> None:
    """No runs here."""


async def test_edits_survive_a_feed_that_is_cut_off_again_and_again(postgres: str, template: str) -> None:
    """Listeners lose their connections while edits are committed. In the end, the last edit of each agent is live."""
    cut = "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name like $1"
    async with synced_server(postgres, template, webs=2) as (server, observer, product_database):
        catalogue_writer = CatalogueWriter(product_database)
        ids = [await catalogue_writer.add_agent(system_prompt="0") for _ in range(5)]
        for number in range(1, 41):
            if number % 8 == 0:
                await product_database.fetch(cut, "agenthall catalogue%")  # the feed's, and those that read
            await update_prompt(product_database, ids[number % 5], str(number))
        for number in range(36, 41):
            await until(partial(has_prompt, observer, ids[number % 5], str(number)))
        server.check_alive()
        assert await count_synced(observer) == 5
        failures = "select count(*) from agenthall.agent_sync where failure is not null"
        await until(lambda: is_zero(observer, failures))


@contextlib.asynccontextmanager
async def _half_open(
    postgres: str, template: str
) -> AsyncIterator[tuple[DatabaseObserver, asyncpg.Connection[Any], str]]:
    """An agent that is served, when the server's connections to the catalogue have just become half open."""
    async with fresh_database(postgres, template) as url, PostgresProxy(url).serving() as proxy:
        await install_catalogue(url)
        async with (
            live_server(url, workers=0, CATALOGUE_DATABASE_URL=proxy.url, **SETTINGS),
            observe_database(url) as observer,
            open_connection(url) as product_database,
        ):
            agent_id = await CatalogueWriter(product_database).add_agent(system_prompt="heard")
            await until(lambda: has_prompt(observer, agent_id, "heard"))
            assert proxy.freeze() >= 2, "the feed's, and one that reads"
            yield observer, product_database, agent_id


LISTENERS = """
select coalesce(array_agg(pid), '{}') from pg_stat_activity
 where datname = current_database() and application_name like 'agenthall catalogue feed%'"""


async def _has_another_listener(observer: DatabaseObserver, lost: set[int]) -> bool:
    """Whether there is a new one. The lost one may be gone: the connection froze between a question and its answer."""
    return not set(await observer.value(LISTENERS)) <= lost


async def test_a_feed_that_is_half_open_is_noticed_and_edits_are_heard_again(postgres: str, template: str) -> None:
    """And the edit that nobody heard is found by looking."""
    async with _half_open(postgres, template) as (observer, product_database, missed):
        lost = set(await observer.value(LISTENERS))
        began = time.monotonic()
        await update_prompt(product_database, missed, "unheard")
        await until(partial(_has_another_listener, observer, lost))
        noticed = time.monotonic() - began
        heard = await CatalogueWriter(product_database).add_agent(system_prompt="heard again")
        await until(lambda: has_prompt(observer, heard, "heard again"))
        took = time.monotonic() - began - noticed
        print(f"\nhalf open: a new feed after {noticed:.1f} s, the next edit live {took:.1f} s later")  # noqa: T201  shown with -s
        await until(lambda: has_prompt(observer, missed, "unheard"))
