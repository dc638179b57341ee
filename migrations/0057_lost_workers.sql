-- Execute a run that brought its worker down twice alone, in a process of its own.
--
-- Rules
--   1. workers_lost counts the workers that ended while they executed the run. A worker that stops on request is none.
--      Nobody knows which of a worker's runs brought it down, so all of them are counted.
--   2. From the second on a run has no turn (has_turn). A worker claims it for a process that executes nothing else. So
--      the run that is to blame meets no other any more, and the others end well.
--   3. Workers of the release before do not see such a run. It waits for one of this release.

create index runs_alone on agenthall.runs (run_at) where status = 'pending' and ready and workers_lost >= 2;

create or replace function agenthall.requeue_run(p_run agenthall.runs, p_drained boolean) returns boolean
language plpgsql as $$
declare
  v_error jsonb := jsonb_build_object('error', 'WorkerLost', 'message', case
    when p_run.workers_lost < 2 then 'Every worker that took this run disappeared.'
    else 'The run brought down the workers that took it, and then the process that it had for itself.' end);
begin
  if p_run.cancel_action is not null then
    perform agenthall.end_run(p_run, 'interrupted', 'interrupted', null,
      '{"error": "UserInterrupt", "message": "interrupt"}', '{}', '{}', '{"status": "interrupted", "values": null}');
    return false;
  elsif p_run.attempt >= p_run.max_attempts and not p_drained then
    insert into agenthall.run_events (run_id, seq, attempt, event, data)
    values (p_run.run_id, agenthall.last_seq(p_run.run_id) + 1, p_run.attempt, 'error', v_error::text);
    perform agenthall.end_run(p_run, 'error', 'error', null, v_error, '{}', '{}',
      jsonb_build_object('status', 'error', 'values', null, 'error', v_error)::text);
    return false;
  end if;
  update agenthall.runs r
     set status = 'pending', ready = true, worker_id = null, lease_until = null,
         max_attempts = r.max_attempts + p_drained::integer, updated_at = clock_timestamp(),
         workers_lost = least(r.workers_lost + (not p_drained)::integer, 32767)
   where r.run_id = p_run.run_id;
  return true;
end $$;

create function agenthall.claim_alone(p_worker uuid, p_lease interval, p_graphs text[]) returns setof agenthall.runs
language plpgsql as $$
declare
  v_next uuid := (
    select r.run_id from agenthall.runs r
     where r.status = 'pending' and r.ready and r.workers_lost >= 2 and r.graph_id = any (p_graphs)
     order by r.run_at limit 1 for update skip locked);
begin
  if v_next is not null then
    return query
      update agenthall.runs r
         set status = 'running', attempt = r.attempt + 1, worker_id = p_worker,
             lease_until = clock_timestamp() + p_lease, updated_at = clock_timestamp()
       where r.run_id = v_next
      returning r.*;
  end if;
end $$;
comment on function agenthall.claim_alone is
  'Claim one run that has lost two workers, for a process that executes nothing else.';
