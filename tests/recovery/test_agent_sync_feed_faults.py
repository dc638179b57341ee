"""The feed of the catalogue is cut off or half open: edits are live in the end, and nobody has to restart a server."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import asyncpg
import pytest
from contract.product import Catalogue
from databases import fresh_database
from half_open import Proxy
from live_server import live_server, until
from outages import Watch, watching
from syncing import SETTINGS, count, edit, is_more, is_zero, set_up, shows, synced_server, writing


@pytest.fixture(autouse=True)
def books() -> None:
    """No runs here."""


async def test_edits_survive_a_feed_that_is_cut_off_again_and_again(postgres: str, template: str) -> None:
    """Whoever listens is cut off while edits are committed; each edit is live in the end, the last one of each agent."""
    cut = "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name like $1"
    async with synced_server(postgres, template, webs=2) as (server, watch, product):
        rows = Catalogue(product)
        ids = [await rows.agent(system_prompt="0") for _ in range(5)]
        for number in range(1, 41):
            if number % 8 == 0:
                await product.fetch(cut, "agenthall catalogue%")  # the feed's, and those that read
            await edit(product, ids[number % 5], str(number))
        for number in range(36, 41):
            await until(partial(shows, watch, ids[number % 5], str(number)))
        server.check_alive()
        assert await count(watch) == 5
        failures = "select count(*) from agenthall.agent_sync where failure is not null"
        await until(lambda: is_zero(watch, failures))


@contextlib.asynccontextmanager
async def _half_open(postgres: str, template: str) -> AsyncIterator[tuple[Watch, asyncpg.Connection[Any], str]]:
    """An agent that is served, when the server's connections to the catalogue have just become half open."""
    async with fresh_database(postgres, template) as url, Proxy(url).serving() as proxy:
        await set_up(url)
        async with (
            live_server(url, workers=0, CATALOGUE_DATABASE_URL=proxy.url, **SETTINGS),
            watching(url) as watch,
            writing(url) as product,
        ):
            agent_id = await Catalogue(product).agent(system_prompt="heard")
            await until(lambda: shows(watch, agent_id, "heard"))
            assert proxy.freeze() >= 2, "the feed's, and one that reads"
            yield watch, product, agent_id


async def test_a_feed_that_is_half_open_is_noticed_and_edits_are_heard_again(postgres: str, template: str) -> None:
    """And the edit that nobody heard is found by looking."""
    listeners = """
        select count(*) from pg_stat_activity
         where datname = current_database() and application_name like 'agenthall catalogue feed%'"""
    async with _half_open(postgres, template) as (watch, product, missed):
        began = time.monotonic()
        await edit(product, missed, "unheard")
        await until(lambda: is_more(watch, listeners, 1), 20)
        noticed = time.monotonic() - began
        heard = await Catalogue(product).agent(system_prompt="heard again")
        await until(lambda: shows(watch, heard, "heard again"))
        took = time.monotonic() - began - noticed
        print(f"\nhalf open: a new feed after {noticed:.1f} s, the next edit live {took:.1f} s later")  # noqa: T201  for whoever runs it with -s
        await until(lambda: shows(watch, missed, "unheard"))
