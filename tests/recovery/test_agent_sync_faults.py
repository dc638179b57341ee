"""Agent sync under faults: nothing is lost, doubled or left half done, and nobody has to restart a server.

All servers look at the whole scope only when something tells them to (`AGENT_SYNC_EVERY` is an hour), so what heals, heals by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from contract.product import TABLES, Catalogue
from databases import fresh_database
from half_open import Proxy
from live_server import LiveServer, Process, live_server, until
from outages import Watch, watching
from wrong_clock import make_wrong_clock

from robyn_server.files import CATALOGUE_FEED
from robyn_server.runtime.embedded_postgres import EmbeddedPostgres

SETTINGS: dict[str, Any] = {"AGENT_SYNC_SCOPE": "all", "AGENT_SYNC_EVERY": "3600", "AGENTHALL_DRAIN_SECONDS": "1"}
ROUNDS = int(os.environ.get("AGENTHALL_TEST_KILLS", "6"))
"""Replicas killed in the middle of a sync; a second and a half each."""

_AGENTS = """
insert into public.agents (id, organization_id, name, system_prompt, graph_id)
select gen_random_uuid(), $2, 'agent ' || n, 'You are number ' || n, 'agent' from generate_series(1, $1::integer) n"""

_MALFORMED = """
insert into public.agents (id, organization_id, name, system_prompt, graph_id, sampling_params, engine_id, engine_type)
select gen_random_uuid(), gen_random_uuid(), case n % 5 when 0 then null else 'malformed ' || n end, 'You are malformed.',
       case n % 5 when 1 then 'nowhere' else 'agent' end,
       case n % 5 when 2 then '{"base_url": "http://elsewhere"}'::jsonb when 3 then '{"temperature": "hot"}'::jsonb end,
       case n % 5 when 4 then gen_random_uuid() end, 'global'
  from generate_series(1, $1::integer) n"""

_UNWRITTEN = """
select a.assistant_id::text from agenthall.assistants a
 where a.catalogue_hash is not null
   and (a.version <> 1 or (select count(*) from agenthall.assistant_versions v where v.assistant_id = a.assistant_id) <> 1
        or a.metadata ->> 'supabase_agent_id' is distinct from a.assistant_id::text)
union all
select s.agent_id::text from agenthall.agent_sync s
  left join agenthall.assistants a on a.assistant_id = s.assistant_id
 where a.assistant_id is null or s.agent_id <> s.assistant_id or s.assistant_version <> a.version or s.fingerprint is null
    or s.failure is not null or s.write_back_pending or s.last_action not in ('created', 'skipped')"""
"""Assistants that were written twice, and lines of the ledger that tell of something half done. None, when all is well."""


@pytest.fixture(autouse=True)
def books() -> None:
    """No runs here."""


async def _set_up(catalogue: str) -> None:
    """A product's tables, with the feed installed."""
    connection = await asyncpg.connect(catalogue)
    await connection.execute(TABLES)
    await connection.execute(CATALOGUE_FEED.read_text())
    await connection.close()


@contextlib.asynccontextmanager
async def _writing(url: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def _count(watch: Watch) -> int:
    return int(await watch.value("select count(*) from agenthall.assistants where catalogue_hash is not null"))


async def _each_has_one(watch: Watch, agents: int) -> bool:
    """Whether all are there, noted in the ledger, with nothing owed."""
    noted = "select count(*) from agenthall.agent_sync where last_action in ('created', 'skipped') and not write_back_pending"
    return await _count(watch) == agents and await watch.value(noted) == agents


async def _prompt(watch: Watch, agent_id: str) -> str | None:
    query = "select config #>> '{configurable,system_prompt}' from agenthall.assistants where assistant_id = $1"
    return await watch.value(query, UUID(agent_id))  # type: ignore[no-any-return]


async def _shows(watch: Watch, agent_id: str, prompt: str) -> bool:
    return await _prompt(watch, agent_id) == prompt


async def _edit(product: asyncpg.Connection[Any], agent_id: str, prompt: str) -> None:
    await product.execute("update public.agents set system_prompt = $2 where id = $1", UUID(agent_id), prompt)


# the catalogue's database


@pytest.fixture
def catalogue_server() -> Iterator[EmbeddedPostgres]:
    folder = Path(tempfile.mkdtemp(prefix="agenthall-catalogue-"))
    postgres = EmbeddedPostgres(folder, options={"fsync": "off"})
    try:
        postgres.start()
        yield postgres
    finally:
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


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
    await _set_up(catalogue)
    async with (
        fresh_database(postgres, template) as url,
        live_server(url, webs=2, workers=0, CATALOGUE_DATABASE_URL=catalogue, **SETTINGS) as server,
        watching(url) as watch,
    ):
        async with _writing(catalogue) as product:
            await product.execute(_AGENTS, agents, uuid4())
            await until(lambda: _count(watch))
        await _killed_and_back(catalogue_server)
        at_the_kill = await _count(watch)
        assert at_the_kill < agents, "it was killed in the middle"
        await until(lambda: _each_has_one(watch, agents))
        server.check_alive()
        assert await watch.rows(_UNWRITTEN) == []
        async with _writing(catalogue) as product:
            owed = "select count(*) from public.agents where langgraph_assistant_id is distinct from id::text"
            assert await product.fetchval(owed) == 0
            edited = str(await product.fetchval("select min(id::text) from public.agents"))
            await _edit(product, edited, "after the restart")
        await until(lambda: _shows(watch, edited, "after the restart"))


# replicas that are killed


async def test_replicas_killed_in_the_middle_of_a_sync_leave_nothing_doubled_or_half_done(
    postgres: str, template: str
) -> None:
    """Each round: 600 new agents, two replicas, one of them dead after a random moment. Its successor joins the next round."""
    began, met = time.monotonic(), 0
    async with fresh_database(postgres, template) as url:
        await _set_up(url)
        async with (
            live_server(url, webs=2, workers=0, **SETTINGS) as server,
            watching(url) as watch,
            _writing(url) as product,
        ):
            for number in range(1, ROUNDS + 1):
                await product.execute(_AGENTS, 600, uuid4())
                met += await _killed_at_random(server, watch, random.Random(number), number * 600)
                await until(partial(_each_has_one, watch, number * 600))
                assert await watch.rows(_UNWRITTEN) == [], f"round {number}"
    print(f"\n{ROUNDS} kills in {time.monotonic() - began:.1f} s, {met} of them with work left to do")  # noqa: T201  for whoever runs it with -s


async def _killed_at_random(server: LiveServer, watch: Watch, chance: random.Random, agents: int) -> bool:
    """Whether something was left to do at that moment. Which of the two dies is as random as when."""
    await asyncio.sleep(chance.uniform(0, 0.4))  # the fault's moment, not a wait for anything
    victim = chance.choice(server.webs)
    victim.kill()
    left = not await _each_has_one(watch, agents)
    await victim.ended()
    victim.log.unlink()
    victim.start()
    await server.ready()
    return left


# the feed's connection


async def test_edits_survive_a_feed_that_is_cut_off_again_and_again(postgres: str, template: str) -> None:
    """Whoever listens is cut off while edits are committed; each edit is live in the end, the last one of each agent."""
    cut = "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name like $1"
    async with fresh_database(postgres, template) as url:
        await _set_up(url)
        async with (
            live_server(url, webs=2, workers=0, **SETTINGS) as server,
            watching(url) as watch,
            _writing(url) as product,
        ):
            rows = Catalogue(product)
            ids = [await rows.agent(system_prompt="0") for _ in range(5)]
            for number in range(1, 41):
                if number % 8 == 0:
                    await product.fetch(cut, "agenthall catalogue%")  # the feed's, and those that read
                await _edit(product, ids[number % 5], str(number))
            for number in range(36, 41):
                await until(partial(_shows, watch, ids[number % 5], str(number)))
            server.check_alive()
            assert await _count(watch) == 5
            failures = "select count(*) from agenthall.agent_sync where failure is not null"
            await until(lambda: _is_zero(watch, failures))


@contextlib.asynccontextmanager
async def _half_open(postgres: str, template: str) -> AsyncIterator[tuple[Watch, asyncpg.Connection[Any], str]]:
    """An agent that is served, when the server's connections to the catalogue have just become half open."""
    async with fresh_database(postgres, template) as url, Proxy(url).serving() as proxy:
        await _set_up(url)
        async with (
            live_server(url, workers=0, CATALOGUE_DATABASE_URL=proxy.url, **SETTINGS),
            watching(url) as watch,
            _writing(url) as product,
        ):
            agent_id = await Catalogue(product).agent(system_prompt="heard")
            await until(lambda: _shows(watch, agent_id, "heard"))
            assert proxy.freeze() >= 2, "the feed's, and one that reads"
            yield watch, product, agent_id


async def test_a_feed_that_is_half_open_is_noticed_and_edits_are_heard_again(postgres: str, template: str) -> None:
    """And the edit that nobody heard is found by looking."""
    listeners = """
        select count(*) from pg_stat_activity
         where datname = current_database() and application_name like 'agenthall catalogue feed%'"""
    async with _half_open(postgres, template) as (watch, product, missed):
        began = time.monotonic()
        await _edit(product, missed, "unheard")
        await until(lambda: _is_more(watch, listeners, 1), 20)
        noticed = time.monotonic() - began
        heard = await Catalogue(product).agent(system_prompt="heard again")
        await until(lambda: _shows(watch, heard, "heard again"))
        took = time.monotonic() - began - noticed
        print(f"\nhalf open: a new feed after {noticed:.1f} s, the next edit live {took:.1f} s later")  # noqa: T201  as above
        await until(lambda: _shows(watch, missed, "unheard"))


async def _is_more(watch: Watch, query: str, number: int) -> bool:
    return int(await watch.value(query)) > number


# clocks


async def test_a_replica_whose_clock_is_an_hour_off_changes_nothing(
    postgres: str, template: str, tmp_path: Path
) -> None:
    """One has the right time, one is an hour ahead, one an hour behind, with passes all the time: who writes is decided by content, when by the database."""
    clock = make_wrong_clock(tmp_path)
    if clock is None:
        pytest.skip("no C compiler")
    passing = SETTINGS | {"AGENT_SYNC_EVERY": "0.1"}
    off = "select max(abs(extract(epoch from clock_timestamp() - at))) from ({}) as times (at)"
    async with fresh_database(postgres, template) as url:
        await _set_up(url)
        async with (
            live_server(url, workers=0, **passing) as server,
            watching(url) as watch,
            _writing(url) as product,
        ):
            for seconds in (3600, -3600):
                await _add_web(server, clock, seconds, tmp_path)
            kept, gone = [await Catalogue(product).agent(system_prompt="first") for _ in range(2)]
            await until(lambda: _each_has_one(watch, 2))
            await _edit(product, kept, "second")
            await product.execute("update public.agents set status = 'off' where id = $1", UUID(gone))
            await until(lambda: _shows(watch, kept, "second"))
            retired = "select retired_at from agenthall.assistants where assistant_id = $1"
            await until(lambda: watch.value(retired, UUID(gone)))
            passes = [_passes(web) for web in server.webs]
            await until(lambda: all(_passes(web) > before + 5 for web, before in zip(server.webs, passes, strict=True)))
            versions = "select array_agg(version order by assistant_id = $1) from agenthall.assistants where assistant_id in ($1, $2)"
            assert await watch.value(versions, UUID(kept), UUID(gone)) == [2, 2], (
                "one for each edit, however often they look"
            )
            for times in (
                "select updated_at from agenthall.assistants",
                "select retired_at from agenthall.assistants",
                "select checked_at from agenthall.agent_sync",
                "select (metadata ->> 'synced_at')::timestamptz from agenthall.assistants",
            ):
                assert await watch.value(off.format(times)) < 60, times
            await product.execute("update public.agents set status = 'active' where id = $1", UUID(gone))
            await until(
                lambda: _is_zero(watch, "select count(*) from agenthall.assistants where retired_at is not null")
            )


async def _is_zero(watch: Watch, query: str) -> bool:
    return not await _is_more(watch, query, 0)


async def _add_web(server: LiveServer, clock: Path, seconds: int, folder: Path) -> None:
    environment = server.environment | {"LD_PRELOAD": str(clock), "CLOCK_IS_OFF_BY": str(seconds)}
    web = Process("web", environment, folder / f"web{seconds}.log")
    server.webs.append(web)
    await server.ready()
    stamp = str(web.said()).partition('"timestamp":')[2].strip(' "')[:19]
    shown = time.mktime(time.strptime(stamp, "%Y-%m-%dT%H:%M:%S")) - time.timezone
    assert abs(shown - time.time() - seconds) < 120, "its clock is off"


def _passes(web: Process) -> int:
    return web.said().count("agent sync finished")


# bad rows


async def test_a_thousand_malformed_rows_are_a_thousand_failures_and_the_others_are_served(
    postgres: str, template: str
) -> None:
    good, bad = 10_000, 1_000
    async with fresh_database(postgres, template) as url:
        await _set_up(url)
        async with live_server(url, workers=0, **SETTINGS) as server, watching(url) as watch, _writing(url) as product:
            before = _peak_megabytes(server.webs[0])
            async with product.transaction():
                await product.execute(_MALFORMED, bad)
                await product.execute(_AGENTS, good, uuid4())
            began = time.monotonic()
            await until(lambda: _passes(server.webs[0]) == 2)
            took, after = time.monotonic() - began, _peak_megabytes(server.webs[0])
            failures = await watch.rows(
                "select regexp_replace(failure, '[0-9a-f-]{36}', '…') as reason, count(*) as rows from agenthall.agent_sync"
                " where last_action = 'failed' group by 1 order by 1"
            )
            assert [each["rows"] for each in failures] == [bad / 5] * 5
            assert await _count(watch) == good
            assert (
                await watch.rows(
                    _UNWRITTEN + " except select agent_id::text from agenthall.agent_sync where failure is not null"
                )
                == []
            )
            print(  # noqa: T201  as above
                f"\n{good} served, {bad} failed in {took:.1f} s; peak {before:.0f} MB before, {after:.0f} MB after",
                *failures,
                sep="\n",
            )


def _peak_megabytes(process: Process) -> float:
    status = Path(f"/proc/{process.popen.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


async def test_a_malformed_edit_that_the_feed_tells_of_holds_up_nobody(postgres: str, template: str) -> None:
    """Its reason is in the ledger, whatever is wrong with it, and other edits are live at once."""
    async with fresh_database(postgres, template) as url:
        await _set_up(url)
        async with live_server(url, workers=0, **SETTINGS), watching(url) as watch, _writing(url) as product:
            await product.execute(_MALFORMED, 50)
            agent_id = await Catalogue(product).agent(system_prompt="good")
            await until(lambda: _shows(watch, agent_id, "good"), 10)
            failed = (
                "select count(*) = 50 from agenthall.agent_sync where last_action = 'failed' and failure is not null"
            )
            await until(lambda: watch.value(failed), 10)
