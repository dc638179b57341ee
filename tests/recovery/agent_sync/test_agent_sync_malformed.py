"""Malformed rows of the catalogue, by the thousand and one by one: each is a failure with its reason, and the others
are served."""

from __future__ import annotations

import time
from pathlib import Path
from uuid import uuid4

import pytest
from catalogues.catalogue_writer import CatalogueWriter
from servers.live_server import Process, until
from synced_server import AGENTS, INCONSISTENT, count_passes, count_synced, has_prompt, synced_server

_MALFORMED = """
insert into public.agents (id, organization_id, name, system_prompt, graph_id, sampling_params, engine_id, engine_type)
select gen_random_uuid(), gen_random_uuid(), case n % 5 when 0 then null else 'malformed ' || n end, 'You are malformed.',
       case n % 5 when 1 then 'nowhere' else 'agent' end,
       case n % 5 when 2 then '{"base_url": "http://elsewhere"}'::jsonb when 3 then '{"temperature": "hot"}'::jsonb end,
       case n % 5 when 4 then gen_random_uuid() end, 'global'
  from generate_series(1, $1::integer) n"""


@pytest.fixture(autouse=True)
def check_invariants() -> None:
    """No runs here."""


async def test_a_thousand_malformed_rows_are_a_thousand_failures_and_the_others_are_served(
    postgres: str, template: str
) -> None:
    good, bad = 10_000, 1_000
    async with synced_server(postgres, template) as (server, observer, product_database):
        before = _peak_megabytes(server.webs[0])
        async with product_database.transaction():
            await product_database.execute(_MALFORMED, bad)
            await product_database.execute(AGENTS, good, uuid4())
        began = time.monotonic()
        await until(lambda: count_passes(server.webs[0]) == 2)
        took, after = time.monotonic() - began, _peak_megabytes(server.webs[0])
        failures = await observer.rows(
            "select regexp_replace(failure, '[0-9a-f-]{36}', '…') as reason, count(*) as rows from agenthall.agent_sync"
            " where last_action = 'failed' group by 1 order by 1"
        )
        assert [each["rows"] for each in failures] == [bad / 5] * 5
        assert await count_synced(observer) == good
        assert (
            await observer.rows(
                INCONSISTENT + " except select agent_id::text from agenthall.agent_sync where failure is not null"
            )
            == []
        )
        print(  # noqa: T201  shown with -s
            f"\n{good} served, {bad} failed in {took:.1f} s; peak {before:.0f} MB before, {after:.0f} MB after",
            *failures,
            sep="\n",
        )


def _peak_megabytes(process: Process) -> float:
    status = Path(f"/proc/{process.popen.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


async def test_a_malformed_edit_that_the_feed_tells_of_holds_up_nobody(postgres: str, template: str) -> None:
    """Its reason is in the ledger, whatever is wrong with it, and other edits are live at once."""
    async with synced_server(postgres, template) as (_, observer, product_database):
        await product_database.execute(_MALFORMED, 50)
        agent_id = await CatalogueWriter(product_database).add_agent(system_prompt="good")
        await until(lambda: has_prompt(observer, agent_id, "good"))
        failed = "select count(*) = 50 from agenthall.agent_sync where last_action = 'failed' and failure is not null"
        await until(lambda: observer.value(failed))
