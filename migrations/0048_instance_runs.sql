-- A run of the graph `instances` waits for an instance and takes no slot of its worker. A worker claims such runs
-- beside those that it executes itself, up to a number of their own. Each kind has its index, so that a claim of one
-- kind does not read the waiting runs of the other.

create index runs_claimable_here on agenthall.runs (run_at, run_id)
  where status = 'pending' and ready and graph_id <> 'instances';
create index runs_claimable_by_instances on agenthall.runs (run_at, run_id)
  where status = 'pending' and ready and graph_id = 'instances';
drop index agenthall.runs_claimable;

drop function agenthall.claim_runs(uuid, integer, interval, text[]);

-- Without p_instance_runs, both kinds share p_slots, as a worker of an older version expects.
create function agenthall.claim_runs(
  p_worker uuid, p_slots integer, p_lease interval, p_graphs text[], p_instance_runs integer default null)
returns setof agenthall.runs language plpgsql as $$
declare v_next uuid[];
begin
  -- This commit waits for the disk. If a crash of the database undid a claim, the same worker could claim the run
  -- again, with the same attempt number.
  v_next := array(
    select r.run_id from agenthall.runs r
     where r.status = 'pending' and r.ready and r.graph_id <> 'instances' and r.run_at <= clock_timestamp()
       and r.graph_id = any (p_graphs)
     order by r.run_at, r.run_id limit p_slots for update skip locked);
  if 'instances' = any (p_graphs) then
    v_next := v_next || array(
      select r.run_id from agenthall.runs r
       where r.status = 'pending' and r.ready and r.graph_id = 'instances' and r.run_at <= clock_timestamp()
       order by r.run_at, r.run_id limit coalesce(p_instance_runs, p_slots - cardinality(v_next))
         for update skip locked);
  end if;
  return query
    update agenthall.runs r
       set status = 'running', attempt = r.attempt + 1, worker_id = p_worker,
           lease_until = clock_timestamp() + p_lease, updated_at = clock_timestamp()
     where r.run_id = any (v_next)
    returning r.*;
end $$;
