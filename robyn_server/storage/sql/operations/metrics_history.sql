-- A day of metrics, a row a minute for the whole installation. Runs as agenthall_system.

-- fragment: now
coalesce(:now::timestamptz, clock_timestamp())

-- fragment: ended_in_minute
e.event = '__end__' and e.created_at >= m.at and e.created_at < m.at + interval '1 minute'

-- fragment: seconds
-- All values in order, or the percentiles 0 to 100 of more than 101: so few are enough to combine minutes.
case when count(e.value) <= 101 then coalesce(array_agg(e.value order by e.value) filter (where e.value is not null), '{}')
     else percentile_cont((select array_agg(n / 100.0::float8 order by n) from generate_series(0, 100) n))
            within group (order by e.value::float8)::real[] end

-- name: record
-- Writes the last whole minute that is over for :settle, if no process has. Then nothing else is read. Old rows are
-- deleted. Runs that were created in the minute and have been deleted since have left the event of their end.
with minute as (
  select date_trunc('minute', {now} - :settle::interval, 'UTC') - interval '1 minute' as at),
old as (
  delete from agenthall.metrics_history h using minute m where h.at <= m.at - interval '24 hours')
insert into agenthall.metrics_history (
  at, runs_created, runs_succeeded, runs_failed, runs_interrupted, runs_cancelled, ran, waited, runs_pending,
  runs_running, open_streams, instances, jobs_queued, jobs_running)
select m.at, kept.runs + deleted.runs, ended.succeeded, ended.failed, ended.interrupted, ended.cancelled, ran.seconds,
       waited.seconds, open.pending, open.running, streams.open, instances.by_health, jobs.queued, jobs.running
  from (select m.at from minute m
         where not exists (select from agenthall.metrics_history h where h.at = m.at)
        offset 0) m
 cross join lateral (
   select count(*) as runs from agenthall.runs r
    where r.run_id >= agenthall.lowest_id(m.at) and r.run_id < agenthall.lowest_id(m.at + interval '1 minute')) as kept
 cross join lateral (
   select count(*) as runs from agenthall.run_events e
    where e.event = '__end__' and e.created_at >= m.at - interval '1 minute'
      and e.run_id >= agenthall.lowest_id(m.at) and e.run_id < agenthall.lowest_id(m.at + interval '1 minute')
      and not exists (select from agenthall.runs r where r.run_id = e.run_id)) as deleted
 cross join lateral (
   select count(*) filter (where e.outcome = 'success') as succeeded,
          count(*) filter (where e.outcome in ('error', 'timeout')) as failed,
          count(*) filter (where e.outcome = 'interrupted') as interrupted,
          count(*) filter (where e.outcome = 'cancelled') as cancelled
     from agenthall.run_events e where {ended_in_minute}) as ended
 cross join lateral (
   select {seconds} as seconds
     from (select e.ran as value from agenthall.run_events e where {ended_in_minute}) e) as ran
 cross join lateral (
   select {seconds} as seconds
     from (select e.waited as value from agenthall.run_events e where {ended_in_minute}) e) as waited
 cross join lateral (
   select count(*) filter (where r.status = 'pending') as pending, count(*) filter (where r.status = 'running') as running
     from agenthall.runs r where r.status in ('pending', 'running') and m.at is not null) as open
 cross join lateral (
   select coalesce(sum(w.open_streams), 0) as open
     from agenthall.workers w where w.until > {now} and m.at is not null) as streams
 cross join lateral (
   select coalesce(jsonb_object_agg(i.health, i.instances), '{}') as by_health
     from (select {health} as health, count(*) as instances
             from mcp.agent_leases l
             left join mcp.lease_keepers k on k.id = l.keeper_id
            where m.at is not null
            group by 1) i) as instances
 cross join lateral (
   select (select count(*) from mcp.agent_jobs j where j.state = 'queued' and m.at is not null) as queued,
          (select count(*) from mcp.agent_jobs j where j.holds_slot and j.state = 'running' and m.at is not null)
            as running) as jobs
on conflict (at) do nothing
returning true

-- fragment: health
case when mcp.is_alive(l, k, statement_timestamp()) then l.health_status else 'stale' end

-- name: list
-- The minutes from :since on, the oldest first.
select h.at, h.runs_created, h.runs_succeeded, h.runs_failed, h.runs_interrupted, h.runs_cancelled, h.ran, h.waited,
       h.runs_pending, h.runs_running, h.open_streams, h.instances::text as instances, h.jobs_queued, h.jobs_running
  from agenthall.metrics_history h
 where h.at >= :since
 order by h.at

-- name: read_now
-- Numbers beside those of the queue. The numbers of a database are null where the role may not read them.
select clock_timestamp() as at,
       (select coalesce(sum(w.open_streams), 0) from agenthall.workers w where w.until > clock_timestamp()) as open_streams,
       (select coalesce(jsonb_object_agg(i.health, i.instances), '{}')
          from (select {health} as health, count(*) as instances
                  from mcp.agent_leases l
                  left join mcp.lease_keepers k on k.id = l.keeper_id
                 group by 1) i)::text as instances,
       (select count(*) from mcp.agent_jobs j where j.state = 'queued') as jobs_queued,
       (select count(*) from mcp.agent_jobs j where j.holds_slot and j.state = 'running') as jobs_running,
       split_part(current_setting('server_version'), ' ', 1) as version,
       case when has_database_privilege(current_database(), 'connect') then pg_database_size(current_database()) end
         as size_bytes,
       (select sum(d.numbackends) from pg_stat_database d)::bigint as connections,
       current_setting('max_connections')::bigint as max_connections

-- name: list_processes
-- Processes that live now.
select w.kind as process, w.version from agenthall.workers w where w.until > clock_timestamp()
 union all
select k.kind, k.version from mcp.lease_keepers k
 where k.kind = 'sockets' and k.stopped_at is null and k.last_heartbeat > clock_timestamp() - interval '10 seconds'
 order by 1, 2
