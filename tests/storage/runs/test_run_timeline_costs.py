"""The timeline of a run reads the records of that run, whatever other runs, also of its thread, have left."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from databases import fresh_database, open_pools
from read_costs import FEW, MANY, CountingPool, load

from robyn_server.storage.runs.timeline import RunTimelines

RUN, THREAD, TENANT = UUID(int=1), UUID(int=2), UUID(int=3)
SLACK = 30
"""Buffers: deeper indexes."""
_FILL = """
insert into agenthall.run_events (run_id, seq, attempt, event, data)
select case when n <= 20 then '{run}'::uuid else gen_random_uuid() end, n, 1, 'values', '{{}}'
  from generate_series(1, {rows}) n;
select mcp.register_agent_instance('{tenant}', 'bot', 'first');
insert into mcp.agent_jobs (id, tenant_id, manifest_id, agent_id, thread_id, run_id, state, input, created_at, ended_at)
select gen_random_uuid(), c.tenant_id, c.manifest_id, 'bot', '{thread}',
       case when n <= 3 then '{run}'::uuid else gen_random_uuid() end, 'succeeded', '{{}}', now(), now()
  from mcp.agent_configurations c, generate_series(1, {rows}) n;
with moments as (
  select n, now() - interval '1 hour' * (n - 1) as at, (n = 1) as is_ours from generate_series(1, {rows} / 10) n),
ids as (
  select m.*, lpad(to_hex((extract(epoch from m.at) * 10000000)::bigint + 122192928000000000), 15, '0') as ticks
    from moments m)
insert into langgraph.checkpoints (thread_id, checkpoint_ns, checkpoint_id, checkpoint, metadata)
select '{thread}', '', left(ticks, 8) || '-' || substr(ticks, 9, 4) || '-6' || right(ticks, 3) || '-8000-000000000000',
       jsonb_build_object('ts', at), jsonb_build_object('step', n, 'run_id', case when is_ours then '{run}' else 'other' end)
  from ids;
insert into langgraph.checkpoint_writes (
  thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob)
select c.thread_id, '', c.checkpoint_id, 'task', '', n, 'messages', 'msgpack', '' from langgraph.checkpoints c,
       generate_series(1, 3) n;
"""


async def test_a_timeline_costs_the_same_among_many_records(postgres: str, template: str) -> None:
    costs: dict[int, dict[str, int]] = {}
    for rows in (FEW, MANY):
        async with fresh_database(postgres, template) as url, open_pools(url, size=1) as (_, system, login):
            await load(login, _FILL.format(rows=rows, run=RUN, thread=THREAD, tenant=TENANT))
            async with system.acquire() as connection:
                costs[rows] = await _read(CountingPool(connection))
    for query, cost in costs[MANY].items():
        assert 0 < cost <= costs[FEW][query] + SLACK, (query, costs)


async def _read(pool: CountingPool) -> dict[str, int]:
    """The buffers of each query, of which each finds what the run has."""
    timelines, now = RunTimelines(pool), datetime.now(UTC)  # type: ignore[arg-type]
    read: dict[str, int] = {}

    def note(name: str) -> None:
        read[name] = pool.buffers - sum(read.values())

    (events,) = await timelines.count_events(RUN)
    note("events")
    (step,) = await timelines.list_steps(THREAD, RUN, now - timedelta(minutes=1), now)
    note("steps")
    writes = await timelines.list_writes(THREAD, [step.checkpoint_id])
    note("writes")
    jobs = await timelines.list_jobs(RUN)
    note("jobs")
    assert (events.events, len(writes), len(jobs)) == (20, 3, 3)
    return read
