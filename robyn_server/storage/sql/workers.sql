-- Workers and web processes that run, and the graphs that they serve. Runs as agenthall_system.

-- name: announce
-- Also deletes processes that have been dead for a while.
with dead as (
  delete from agenthall.workers w where w.until < now() - interval '1 hour' and w.worker_id <> :worker_id
)
insert into agenthall.workers (worker_id, graph_ids, until, kind, version, open_streams)
values (:worker_id, :graph_ids, now() + :lifetime::interval, :kind, :version, :open_streams)
on conflict (worker_id) do update set graph_ids = excluded.graph_ids, until = excluded.until, version = excluded.version,
  open_streams = excluded.open_streams

-- name: withdraw
delete from agenthall.workers w where w.worker_id = :worker_id

-- name: unserved
-- The graphs that no living worker serves, with the runs that are due and wait for one of them.
select r.graph_id, count(*) as runs, max(extract(epoch from now() - r.run_at))::float8 as longest_wait
  from agenthall.runs r
 where r.status = 'pending' and r.ready and r.run_at < now() - interval '5 seconds'
   and not agenthall.is_served(r.graph_id)
 group by r.graph_id
 order by r.graph_id
