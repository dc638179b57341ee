"""The deletion of a run closes its events, and reads those of no other."""

from __future__ import annotations

import json

from run_storage import RunStorage, ended_run

from robyn_server.core.ids import new_id

_EVENTS = "select event, data from agenthall.run_events where run_id = $1 order by seq"
_OPEN_RUNS = """
insert into agenthall.run_events (run_id, seq, attempt, event, data)
select r.id, n, 1, case when r.place = 1 and n = 50 then '__end__' else 'values' end, '{}'
  from (select gen_random_uuid() as id, place from generate_series(1, 20) place) r, generate_series(1, 50) n
"""
"""Many events, of which one is an end."""
_SCANS = """
select s.idx_scan, pg_stat_force_next_flush()
  from (select pg_stat_clear_snapshot()) as now
 cross join pg_stat_user_indexes s where s.indexrelname = 'run_events_ended'
"""


async def test_a_run_that_is_deleted_before_its_end_gets_one(storage: RunStorage) -> None:
    for run in (await storage.claim_new_run(new_id()), await storage.claim_new_run(new_id())):
        await storage.admin.execute("delete from agenthall.threads where thread_id = $1", run.thread_id)
        [end] = await storage.admin.fetch(_EVENTS, run.run_id)
        assert (end["event"], json.loads(end["data"])["status"]) == ("__end__", "interrupted")


async def test_a_run_that_has_ended_gets_no_second_end(storage: RunStorage) -> None:
    worker = new_id()
    run = await storage.claim_new_run(worker)
    await storage.queue.flush(worker, [], [ended_run(run)])
    await storage.admin.execute("delete from agenthall.threads where thread_id = $1", run.thread_id)
    assert [row["event"] for row in await storage.admin.fetch(_EVENTS, run.run_id)] == ["__end__"]


async def test_a_plan_from_when_there_were_few_ends_reads_none_of_others(storage: RunStorage) -> None:
    async with storage.admin.acquire() as connection:
        await connection.execute(_OPEN_RUNS)
        await connection.execute("analyze agenthall.run_events")
        before = await connection.fetchval(_SCANS)
        for _ in range(8):  # from the sixth on, the plan is the one that stays
            run = await storage.claim_new_run(new_id())
            await connection.execute("delete from agenthall.threads where thread_id = $1", run.thread_id)
        await connection.execute("select pg_stat_force_next_flush()")
        assert await connection.fetchval(_SCANS) == before
