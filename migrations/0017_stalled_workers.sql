-- Release the runs of a worker whose event loop is held by one run. Only that run loses an attempt.
create function agenthall.release_stalled_runs(
  p_worker uuid, p_charged uuid[], p_error jsonb, out released integer, out ended integer
) language plpgsql as $$
declare
  v_run agenthall.runs;
  v_leased uuid[] := array(select r.run_id from agenthall.runs r where r.worker_id = p_worker and r.status = 'running');
begin
  released := 0; ended := 0;
  perform from agenthall.threads t
   where t.thread_id = any (array(select r.thread_id from agenthall.runs r where r.run_id = any (v_leased)))
   order by t.thread_id for update;
  for v_run in
    select * from agenthall.runs r
     where r.run_id = any (v_leased) and r.worker_id = p_worker and r.status = 'running' order by r.run_id for update
  loop
    if v_run.run_id = any (p_charged) and v_run.attempt >= v_run.max_attempts and v_run.cancel_action is null then
      insert into agenthall.run_events (run_id, seq, attempt, event, data)
      values (v_run.run_id, agenthall.last_seq(v_run.run_id) + 1, v_run.attempt, 'error', p_error::text);
      perform agenthall.end_run(v_run, 'error', 'error', null, p_error, '{}', '{}',
        jsonb_build_object('status', 'error', 'values', null, 'error', p_error)::text);
      ended := ended + 1;
    elsif agenthall.requeue_run(v_run, p_drained => not v_run.run_id = any (p_charged)) then
      released := released + 1;
    else
      ended := ended + 1;
    end if;
  end loop;
end $$;
comment on function agenthall.release_stalled_runs is
  'Requeue all runs of a worker that one of them has blocked. The runs in p_charged lose the attempt, and end with '
  'p_error when it was their last; for the others it does not count.';
