-- Leave a thread as it was when one of its runs ends before it began.
--
-- Rules
--   1. A run that no worker ever claimed (attempt 0) ends by a cancellation, a deletion, or for a new run.
--   2. Its thread keeps its status, error, interrupts and values. There is nothing in the thread that could go on.

create or replace function agenthall.end_run(
  p_run agenthall.runs, p_status text, p_thread_status text, p_values jsonb, p_error jsonb, p_interrupts jsonb,
  p_metadata jsonb, p_result text
) returns boolean language plpgsql as $$
declare
  v_next boolean;
  v_ran boolean := p_run.attempt > 0;
  v_rolls_back boolean := p_run.cancel_action is not distinct from 'rollback';
  v_settled text;
begin
  insert into agenthall.run_events (run_id, seq, attempt, event, data)
  values (p_run.run_id, agenthall.last_seq(p_run.run_id) + 1, p_run.attempt, '__end__',
          case when v_rolls_back then '{"status": "interrupted", "values": null}' else p_result end);
  if not p_run.keep_thread then
    delete from agenthall.threads t where t.thread_id = p_run.thread_id and t.ephemeral;
    return false;
  elsif v_rolls_back then
    return agenthall.remove_run(p_run);
  end if;
  delete from agenthall.run_undo u where u.run_id = p_run.run_id;
  update agenthall.runs r
     set status = p_status, error = p_error, worker_id = null, lease_until = null, ready = false,
         metadata = r.metadata || p_metadata, updated_at = clock_timestamp()
   where r.run_id = p_run.run_id;
  v_next := agenthall.ready_next_run(p_run.thread_id);
  select case when v_ran then p_thread_status else coalesce(t.settled_status, 'idle') end into v_settled
    from agenthall.threads t where t.thread_id = p_run.thread_id;
  update agenthall.threads t
     set status = case when exists (
                         select from agenthall.runs r
                          where r.thread_id = t.thread_id and r.status in ('pending', 'running'))
                       then 'busy' else v_settled end,
         settled_status = v_settled,
         "values" = coalesce(p_values, t."values"), updated_at = clock_timestamp(),
         error = case when v_ran then p_error else t.error end,
         interrupts = case when v_ran then p_interrupts else t.interrupts end,
         state_updated_at = case when v_ran then clock_timestamp() else t.state_updated_at end
   where t.thread_id = p_run.thread_id;
  return v_next;
end $$;
