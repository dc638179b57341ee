"""Agent sync where clocks are wrong: who writes is decided by content, when by the database."""

from __future__ import annotations

import time
from pathlib import Path
from uuid import UUID

import pytest
from catalogues.catalogue_writer import CatalogueWriter
from servers.live_server import LiveServer, Process, until
from synced_server import all_synced, count_passes, has_prompt, is_zero, synced_server, update_prompt
from wrong_clock import make_wrong_clock

HALF_AN_HOUR = 1800
"""In seconds. Clocks are off by an hour or not at all; the test takes less than half of that."""


@pytest.fixture(autouse=True)
def check_invariants() -> None:
    """No runs here."""


async def test_a_replica_whose_clock_is_an_hour_off_changes_nothing(
    postgres: str, template: str, tmp_path: Path
) -> None:
    """One has the right time, one is an hour ahead, one an hour behind, with passes all the time: who writes is decided
    by content, when by the database."""
    clock = make_wrong_clock(tmp_path)
    if clock is None:
        pytest.skip("no C compiler")
    off = "select max(abs(extract(epoch from clock_timestamp() - at))) from ({}) as times (at)"
    async with synced_server(postgres, template, AGENT_SYNC_EVERY="0.1") as (server, observer, product_database):
        for seconds in (3600, -3600):
            await _add_web(server, clock, seconds, tmp_path)
        kept, gone = [await CatalogueWriter(product_database).add_agent(system_prompt="first") for _ in range(2)]
        await until(lambda: all_synced(observer, 2))
        await update_prompt(product_database, kept, "second")
        await product_database.execute("update public.agents set status = 'off' where id = $1", UUID(gone))
        await until(lambda: has_prompt(observer, kept, "second"))
        retired = "select retired_at from agenthall.assistants where assistant_id = $1"
        await until(lambda: observer.value(retired, UUID(gone)))
        so_far = [count_passes(web) for web in server.webs]
        await until(
            lambda: all(count_passes(web) > before + 5 for web, before in zip(server.webs, so_far, strict=True))
        )
        versions = "select array_agg(version order by assistant_id = $1) from agenthall.assistants where assistant_id in ($1, $2)"
        assert await observer.value(versions, UUID(kept), UUID(gone)) == [2, 2], (
            "one for each edit, however often they look"
        )
        for times in (
            "select updated_at from agenthall.assistants",
            "select retired_at from agenthall.assistants",
            "select checked_at from agenthall.agent_sync",
            "select (metadata ->> 'synced_at')::timestamptz from agenthall.assistants",
        ):
            assert await observer.value(off.format(times)) < HALF_AN_HOUR, times
        await product_database.execute("update public.agents set status = 'active' where id = $1", UUID(gone))
        await until(lambda: is_zero(observer, "select count(*) from agenthall.assistants where retired_at is not null"))


async def _add_web(server: LiveServer, clock: Path, seconds: int, folder: Path) -> None:
    environment = server.environment | {"LD_PRELOAD": str(clock), "CLOCK_IS_OFF_BY": str(seconds)}
    web = Process("web", environment, folder / f"web{seconds}.log")
    server.webs.append(web)
    await server.ready()
    stamp = str(web.read_log()).partition('"timestamp":')[2].strip(' "')[:19]
    shown = time.mktime(time.strptime(stamp, "%Y-%m-%dT%H:%M:%S")) - time.timezone
    assert abs(shown - time.time() - seconds) < HALF_AN_HOUR, "its clock is off"
