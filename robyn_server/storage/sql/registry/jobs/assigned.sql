-- Jobs of all organizations, for the server's own processes. Runs as agenthall_system.

-- name: list_notices
select o.tenant_id, o.job_id, o.attempt, o.registration_id, o.epoch, o.state, o.agent_id, o.run_id, o.thread_id,
       o.input::text as input, o.deadline, o.cancel_reason,
       extract(epoch from o.accept_by - clock_timestamp())::float8 as accept_within,
       extract(epoch from o.cancel_by - clock_timestamp())::float8 as cancel_within
  from mcp.agent_offers(:registration_ids) o

-- name: follow
-- Of each job, its state, and the events after the position (attempt, seq) of its follower, up to :limit.
select j.id, j.state, j.attempt, j.instance_id, e.attempts, e.seqs, e.events, e.data,
       case when j.ended_at is not null then j.result::text end as result, j.error::text as error,
       j.interrupts::text as interrupts
  from unnest(:job_ids::uuid[], :attempts::integer[], :seqs::integer[]) as w (job_id, attempt, seq)
  join mcp.agent_jobs j on j.id = w.job_id
 cross join lateral (
   select coalesce(array_agg(page.attempt), '{}') as attempts, coalesce(array_agg(page.seq), '{}') as seqs,
          coalesce(array_agg(page.event), '{}') as events, coalesce(array_agg(page.data), '{}') as data
     from (select v.attempt, v.seq, v.event, v.data from mcp.agent_job_events v
            where v.job_id = w.job_id and (v.attempt, v.seq) > (w.attempt, w.seq)
            order by v.attempt, v.seq limit :limit) page) e

-- name: sweep
select s.changed, s.told, s.offered, s.skipped from mcp.sweep_agent_jobs(now => :now) s

-- name: delete_ended
select mcp.delete_ended_jobs()

-- name: list_orphans
-- Jobs whose run is over, or was deleted, and that nobody has cancelled.
select j.tenant_id, j.id
  from mcp.agent_jobs j
 where j.run_id is not null and j.ended_at is null and j.cancel_by is null
   and not exists (
     select from agenthall.runs r where r.run_id = j.run_id and r.status in ('pending', 'running'))
 limit :limit

-- name: list_of_run
select j.tenant_id, j.id from mcp.agent_jobs j where j.run_id = :run_id and j.ended_at is null
