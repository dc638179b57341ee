-- Take the locks of the queue in one order, and update rows in a statement after the one that locks them.
--
-- Rules
--   1. A flush inserts its events in the order of their key. A worker repeats a flush whose answer was lost, and the
--      first one may still be running. Both write the same keys of run_events, and FOR KEY SHARE on the runs does not
--      keep them apart.
--   2. A function locks runs in one statement and updates exactly these in the next. A single statement would update
--      what it saw before it waited for the locks. It would reach the row through its old version, whose lock somebody
--      may hold who waits for the new version.

create or replace function agenthall.flush_runs(
  p_worker uuid,
  p_run_ids uuid[], p_attempts integer[], p_seqs integer[], p_events text[], p_datas text[],
  p_ends jsonb,
  out lost uuid[], out lost_attempts integer[], out woke boolean
) language plpgsql as $$
declare
  v_end jsonb;
  v_run agenthall.runs;
begin
  woke := false;
  if jsonb_array_length(p_ends) = 0 then
    -- A crash of the database may lose the latest events, but never the end of a run.
    perform set_config('synchronous_commit', 'off', true);
    perform from agenthall.runs r
     where r.run_id = any (p_run_ids) and r.worker_id = p_worker order by r.run_id for key share;
  else
    perform from agenthall.threads t -- rules 2 and 4 of 0004_runs.sql
     where t.thread_id = any (array(select (e.value ->> 'thread_id')::uuid from jsonb_array_elements(p_ends) e))
     order by t.thread_id for update;
    perform from agenthall.runs r
     where r.run_id = any (p_run_ids || array(select (e.value ->> 'run_id')::uuid from jsonb_array_elements(p_ends) e))
       and r.worker_id = p_worker
     order by r.run_id for update;
  end if;
  with leased as (
    select r.run_id, r.attempt from agenthall.runs r
     where r.run_id = any (p_run_ids) and r.worker_id = p_worker and r.status = 'running'),
  events as (
    select * from unnest(p_run_ids, p_attempts, p_seqs, p_events, p_datas) as e (run_id, attempt, seq, event, data)),
  inserted as (
    insert into agenthall.run_events (run_id, seq, attempt, event, data)
    select e.run_id, e.seq, e.attempt, e.event, e.data from events e join leased l using (run_id, attempt)
     order by e.run_id, e.seq
    on conflict (run_id, seq) do nothing) -- a repeated flush, whose first answer was lost
  select coalesce(array_agg(n.run_id), '{}'), coalesce(array_agg(n.attempt), '{}') into lost, lost_attempts
    from (select distinct e.run_id, e.attempt
            from events e left join leased l using (run_id, attempt)
           where l.run_id is null) n;
  for v_end in select value from jsonb_array_elements(p_ends) loop
    select * into v_run from agenthall.runs r
     where r.run_id = (v_end ->> 'run_id')::uuid and r.worker_id = p_worker
       and r.attempt = (v_end ->> 'attempt')::integer and r.status = 'running';
    if not found then
      lost := lost || (v_end ->> 'run_id')::uuid;
      lost_attempts := lost_attempts || (v_end ->> 'attempt')::integer;
    else
      woke := agenthall.end_run(
        v_run, v_end ->> 'status', v_end ->> 'thread_status', nullif(v_end -> 'values', 'null'),
        nullif(v_end -> 'error', 'null'), v_end -> 'interrupts', coalesce(v_end -> 'metadata', '{}'),
        v_end ->> 'result') or woke;
    end if;
  end loop;
end $$;

create or replace function agenthall.renew_leases(p_worker uuid, p_run_ids uuid[], p_lease interval)
returns table (run_id uuid, attempt integer, cancel_action text) language plpgsql as $$
declare v_held uuid[];
begin
  perform set_config('synchronous_commit', 'off', true);
  v_held := array(
    select l.run_id from agenthall.runs l
     where l.run_id = any (p_run_ids) and l.worker_id = p_worker and l.status = 'running'
     order by l.run_id for no key update);
  return query
    update agenthall.runs r set lease_until = clock_timestamp() + p_lease
     where r.run_id = any (v_held)
    returning r.run_id, r.attempt, r.cancel_action;
end $$;

create or replace function agenthall.claim_runs(p_worker uuid, p_slots integer, p_lease interval, p_graphs text[])
returns setof agenthall.runs language plpgsql as $$
declare v_next uuid[];
begin
  -- This commit waits for the disk. If a crash of the database undid a claim, the same worker could claim the run
  -- again, with the same attempt number.
  v_next := array(
    select r.run_id from agenthall.runs r
     where r.status = 'pending' and r.ready and r.run_at <= clock_timestamp() and r.graph_id = any (p_graphs)
     order by r.run_at, r.run_id limit p_slots for update skip locked);
  return query
    update agenthall.runs r
       set status = 'running', attempt = r.attempt + 1, worker_id = p_worker,
           lease_until = clock_timestamp() + p_lease, updated_at = clock_timestamp()
     where r.run_id = any (v_next)
    returning r.*;
end $$;
