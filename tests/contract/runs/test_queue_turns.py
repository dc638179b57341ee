"""Two organizations share one worker: the queue of one does not hold up the other, and is not endless."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest
from servers.live_server import LiveServer, live_server
from users.demo_users import HARBOUR, MEADOW, SECRET, bearer

_RUN = {"assistant_id": "echo", "input": {"text": "hello"}}
_COPIES = """
with one as (select * from agenthall.runs where owner_id = 'crowd' order by run_id desc limit 1), made as (
  insert into agenthall.threads (thread_id, owner_id, organization_id, status)
  select gen_random_uuid(), o.owner_id, o.organization_id, 'busy' from one o, generate_series(1, 5000)
  returning thread_id)
insert into agenthall.runs (
  run_id, thread_id, assistant_id, assistant_version, graph_id, owner_id, organization_id, kwargs, ready)
select gen_random_uuid(), m.thread_id, o.assistant_id, o.assistant_version, o.graph_id, o.owner_id, o.organization_id,
       o.kwargs, true
  from one o, made m
"""

_BEFORE = """
select (select count(*) from agenthall.runs r
         where r.owner_id = 'crowd' and r.claimed_at[1] between m.created_at and m.claimed_at[1])
  from agenthall.runs m where m.owner_id = 'mia'
"""
"""Runs of the crowd that began while the run of mia waited."""


@pytest.fixture
async def server(database: str) -> AsyncIterator[LiveServer]:
    async with live_server(
        database,
        AUTH_MODE="jwt",
        AUTH_JWT_SECRET=SECRET,
        AGENTHALL_WORKER_SLOTS="1",
        AGENTHALL_PENDING_RUNS_PER_OWNER="3",
    ) as server:
        yield server


async def _post(http: httpx.AsyncClient, path: str, body: object) -> httpx.Response:
    return await http.post(path, json=body, timeout=60)


@pytest.mark.parametrize(("many", "few"), [(HARBOUR, MEADOW), (MEADOW, HARBOUR)])
async def test_thousands_of_waiting_runs_delay_another_organization_by_one_turn(
    server: LiveServer, database: str, many: str, few: str
) -> None:
    async with server.http(**bearer("crowd", many)) as crowd, server.http(**bearer("mia", few)) as mia:
        (await _post(crowd, "/runs/wait", _RUN | {"on_completion": "keep"})).raise_for_status()
        admin = await asyncpg.connect(database)
        try:
            await admin.execute(_COPIES)
            (await _post(mia, "/runs/wait", _RUN | {"on_completion": "keep"})).raise_for_status()
            since = await admin.fetchval(_BEFORE)
            # one has its turn before; another may be claimed while the run of mia is being stored
            assert since <= 2
            assert await admin.fetchval("select count(*) from agenthall.runs where status = 'pending'") > 100
        finally:
            await admin.close()


async def test_too_many_waiting_runs_are_refused_until_there_is_room(server: LiveServer) -> None:
    later = _RUN | {"after_seconds": 3600}
    async with server.http(**bearer("anna", HARBOUR)) as anna, server.http(**bearer("mia", MEADOW)) as mia:
        made = [(await _post(anna, "/runs", later)).raise_for_status().json() for _ in range(3)]
        refused = await _post(anna, "/runs", later)
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_pending_runs")
        assert int(refused.headers["retry-after"]) >= 1
        assert (await _post(anna, "/runs/batch", [later])).status_code == 429
        assert (await _post(mia, "/runs/batch", [later] * 4)).status_code == 429
        assert (await _post(mia, "/runs/batch", [later] * 3)).status_code == 200
        first = made[0]
        cancelled = await _post(anna, f"/threads/{first['thread_id']}/runs/{first['run_id']}/cancel", {})
        assert cancelled.is_success
        async with asyncio.timeout(30):
            assert (await _post(anna, "/runs", later)).status_code == 200
