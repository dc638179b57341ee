-- Stop the open runs of a thread for a new one (multitask_strategy interrupt and rollback), and roll runs back.
--
-- Rules
--   1. `cancel_action` of a running run decides how it ends, whatever its worker reports and whether it lives. A
--      rollback that was accepted stays one.
--   2. end_run() rolls back: it deletes the run, and the trigger roll_back_run restores the thread's checkpoints.
--   3. A run's own checkpoints name it in their metadata (`run_id`, `written_by_run`). A run also writes beside a
--      checkpoint of an earlier run, for example the answer to an interrupt. It saves what stands there first, in
--      run_undo.
--   4. The columns `values` and `interrupts` of a thread are those from before its open runs until one of them ends.

alter table agenthall.threads
  add column settled_status text,
  add constraint threads_settled_status check (settled_status in ('idle', 'interrupted', 'error'));
comment on column agenthall.threads.settled_status is
  'the status that the thread has without its open runs; null: it was never busy since this column exists';

alter table agenthall.runs add column cancel_reason text;
comment on column agenthall.runs.cancel_reason is 'why the run was cancelled; the API shows it';

create table agenthall.run_undo (
  run_id        uuid not null references agenthall.runs on delete cascade,
  checkpoint_ns text not null,
  checkpoint_id text not null,
  task_ids      text[] not null,
  indexes       integer[] not null,
  channels      text[] not null,
  types         text[] not null,
  blobs         bytea[] not null,
  task_paths    text[] not null,
  primary key (run_id, checkpoint_ns, checkpoint_id)
);
comment on table agenthall.run_undo is
  'The writes beside checkpoints of earlier runs, as they were before the run wrote there. Kept until the run ends.';
alter table agenthall.run_undo enable row level security;
alter table agenthall.run_undo force row level security;
grant select, insert, update, delete on agenthall.run_undo to agenthall_system;
grant select, delete on agenthall.run_undo to agenthall_app;
create policy system_all on agenthall.run_undo to agenthall_system using (true) with check (true);
create policy delete_own on agenthall.run_undo to agenthall_app
  using (exists (select from agenthall.runs r where r.run_id = run_undo.run_id));

create function agenthall.save_undo(
  p_worker uuid, p_run_id uuid, p_attempt integer, p_checkpoint_ns text, p_checkpoint_id text
) returns void language plpgsql as $$
begin
  perform agenthall.assert_lease(p_worker, p_run_id, p_attempt);
  insert into agenthall.run_undo (
    run_id, checkpoint_ns, checkpoint_id, task_ids, indexes, channels, types, blobs, task_paths)
  select p_run_id, p_checkpoint_ns, p_checkpoint_id, coalesce(array_agg(w.task_id), '{}'),
         coalesce(array_agg(w.idx), '{}'), coalesce(array_agg(w.channel), '{}'), coalesce(array_agg(w.type), '{}'),
         coalesce(array_agg(w.blob), '{}'), coalesce(array_agg(w.task_path), '{}')
    from langgraph.checkpoint_writes w
   where w.thread_id = (select r.thread_id::text from agenthall.runs r where r.run_id = p_run_id)
     and w.checkpoint_ns = p_checkpoint_ns and w.checkpoint_id = p_checkpoint_id
  on conflict (run_id, checkpoint_ns, checkpoint_id) do nothing;
end $$;
comment on function agenthall.save_undo is
  'Save the writes beside a checkpoint of an earlier run, once for each run, before the run writes there. Fail with '
  'AH001 unless the worker holds the run in this attempt.';

-- SECURITY DEFINER: agenthall_app has no rights on LangGraph's tables. A caller that may delete
-- the run may roll it back.
create function agenthall.roll_back_run() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_undo agenthall.run_undo;
begin
  for v_undo in select u.* from agenthall.run_undo u where u.run_id = old.run_id loop
    delete from langgraph.checkpoint_writes w
     where w.thread_id = old.thread_id::text and w.checkpoint_ns = v_undo.checkpoint_ns
       and w.checkpoint_id = v_undo.checkpoint_id;
    insert into langgraph.checkpoint_writes (
      thread_id, checkpoint_ns, checkpoint_id, task_id, idx, channel, type, blob, task_path)
    select old.thread_id::text, v_undo.checkpoint_ns, v_undo.checkpoint_id, w.*
      from unnest(v_undo.task_ids, v_undo.indexes, v_undo.channels, v_undo.types, v_undo.blobs, v_undo.task_paths) w;
  end loop;
  with gone as (
    delete from langgraph.checkpoints c
     where c.thread_id = old.thread_id::text
       and old.run_id::text in (c.metadata ->> 'run_id', c.metadata ->> 'written_by_run')
    returning c.checkpoint_ns, c.checkpoint_id, c.parent_checkpoint_id, c.checkpoint -> 'channel_versions' as versions
  ), gone_writes as (
    delete from langgraph.checkpoint_writes w using gone g
     where w.thread_id = old.thread_id::text and w.checkpoint_ns = g.checkpoint_ns and w.checkpoint_id = g.checkpoint_id
  ), written as (
    select g.checkpoint_ns, v.key as channel, v.value as version
      from gone g cross join lateral jsonb_each_text(g.versions) v
    except -- the run began with these
    select c.checkpoint_ns, v.key, v.value
      from gone g
      join langgraph.checkpoints c
        on c.thread_id = old.thread_id::text and c.checkpoint_ns = g.checkpoint_ns
       and c.checkpoint_id = g.parent_checkpoint_id
       and not exists (
         select from gone o where o.checkpoint_ns = c.checkpoint_ns and o.checkpoint_id = c.checkpoint_id)
     cross join lateral jsonb_each_text(c.checkpoint -> 'channel_versions') v
  )
  delete from langgraph.checkpoint_blobs b using written w
   where b.thread_id = old.thread_id::text and b.checkpoint_ns = w.checkpoint_ns and b.channel = w.channel
     and b.version = w.version;
  return old;
exception when undefined_table then return old; -- LangGraph creates its tables after the migrations
end $$;
create trigger roll_back_run before delete on agenthall.runs for each row
  when (old.cancel_action = 'rollback' and old.attempt > 0) execute function agenthall.roll_back_run();
revoke execute on function agenthall.roll_back_run from public;
grant create on schema agenthall to agenthall_system;
alter function agenthall.roll_back_run owner to agenthall_system;
revoke create on schema agenthall from agenthall_system;

create or replace function agenthall.run_json(r agenthall.runs) returns json language sql stable as $$
  select json_build_object(
    'run_id', r.run_id, 'thread_id', r.thread_id, 'assistant_id', r.assistant_id,
    'metadata', case
      when r.status = 'pending' and r.run_at < now() - interval '5 seconds' and not agenthall.is_served(r.graph_id)
      then r.metadata || jsonb_build_object(
        'agenthall_waiting', format('No running worker serves the graph %L.', r.graph_id))
      else r.metadata end,
    'status', r.status, 'kwargs', r.kwargs, 'multitask_strategy', r.multitask_strategy,
    'created_at', agenthall.iso(r.created_at), 'updated_at', agenthall.iso(r.updated_at),
    'langsmith_session_name', null,
    'cancel_reason', case when r.status = 'interrupted' then r.cancel_reason end)
$$;

create function agenthall.remove_run(p_run agenthall.runs) returns boolean language plpgsql as $$
declare
  v_next boolean;
  v_ran boolean := p_run.attempt > 0;
begin
  delete from agenthall.runs r where r.run_id = p_run.run_id;
  v_next := agenthall.ready_next_run(p_run.thread_id);
  update agenthall.threads t
     set status = case when exists (
                         select from agenthall.runs r
                          where r.thread_id = t.thread_id and r.status in ('pending', 'running'))
                       then 'busy' else coalesce(t.settled_status, 'idle') end,
         error = case when v_ran and coalesce(t.settled_status, 'idle') = 'idle'
                      then '{"error": "UserRollback", "message": "rollback"}' else t.error end,
         interrupts = case when v_ran then coalesce(t.interrupts, '{}') else t.interrupts end,
         metadata = t.metadata || coalesce(
           (select jsonb_build_object('graph_id', r.graph_id, 'assistant_id', r.assistant_id)
              from agenthall.runs r where r.thread_id = t.thread_id order by r.run_id desc limit 1), '{}'),
         updated_at = clock_timestamp()
   where t.thread_id = p_run.thread_id;
  return v_next;
end $$;
comment on function agenthall.remove_run is
  'Roll a run back: delete it, and leave its thread as it was before the run. Only end_run() calls this. Return '
  'whether another run of the thread became claimable.';

create or replace function agenthall.end_run(
  p_run agenthall.runs, p_status text, p_thread_status text, p_values jsonb, p_error jsonb, p_interrupts jsonb,
  p_metadata jsonb, p_result text
) returns boolean language plpgsql as $$
declare
  v_next boolean;
  v_ran boolean := p_run.attempt > 0;
  v_rolls_back boolean := p_run.cancel_action is not distinct from 'rollback';
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
  update agenthall.threads t
     set status = case when exists (
                         select from agenthall.runs r
                          where r.thread_id = t.thread_id and r.status in ('pending', 'running'))
                       then 'busy' else p_thread_status end,
         settled_status = p_thread_status,
         "values" = coalesce(p_values, t."values"), updated_at = clock_timestamp(),
         -- a run that was cancelled before it began leaves the thread's state as it was
         error = case when v_ran then p_error else t.error end,
         interrupts = case when v_ran then p_interrupts else t.interrupts end,
         state_updated_at = case when v_ran then clock_timestamp() else t.state_updated_at end
   where t.thread_id = p_run.thread_id;
  return v_next;
end $$;

-- Replace cancel_run and cancel_pending, which get arguments. Processes of the release before leave them out.
drop function agenthall.cancel_run(text, text, boolean, text, uuid, uuid, text);
drop function agenthall.cancel_pending(uuid);

create function agenthall.mark_cancelled(p_run_id uuid, p_action text, p_reason text) returns agenthall.runs
language sql as $$
  update agenthall.runs r
     set cancel_action = case when r.cancel_action = 'rollback' then 'rollback' else p_action end,
         cancel_reason = coalesce(r.cancel_reason, p_reason)
   where r.run_id = p_run_id
  returning r.*
$$;
comment on function agenthall.mark_cancelled is
  'Note how an open run has to end, and why. The caller has locked the run''s row.';

create function agenthall.end_cancelled(p_run agenthall.runs) returns boolean language sql as $$
  select agenthall.end_run(p_run, 'interrupted', 'interrupted', null,
    '{"error": "UserInterrupt", "message": "interrupt"}', '{}', '{}', '{"status": "interrupted", "values": null}')
$$;
comment on function agenthall.end_cancelled is
  'End a run that no worker holds as its cancel_action says. The caller has locked the rows of the thread and of the '
  'run.';

create function agenthall.cancel_run(
  p_identity text, p_organizations text, p_admin boolean, p_grants text, p_thread_id uuid, p_run_id uuid,
  p_action text, p_reason text default 'cancelled by a client'
) returns text language plpgsql as $$
declare v_run agenthall.runs;
begin
  perform agenthall.act_as(p_identity, p_organizations, p_admin, p_grants);
  select * into v_run from agenthall.runs r where r.run_id = p_run_id and r.thread_id = p_thread_id
     and (p_admin or p_grants is not null or r.owner_id = p_identity) for update;
  if not found then
    return 'missing';
  elsif v_run.status = 'pending' then
    return 'pending';
  elsif v_run.status = 'running' then
    perform agenthall.mark_cancelled(p_run_id, p_action, p_reason);
    return 'running';
  end if;
  return 'ended';
end $$;
comment on function agenthall.cancel_run(text, text, boolean, text, uuid, uuid, text, text) is
  'Ask for the cancellation of a run and return its state: pending, running, ended or missing. The worker of a running '
  'run learns of it when it renews its lease; the caller ends a pending run with cancel_pending().';

create function agenthall.cancel_pending(
  p_run_id uuid, p_action text default 'interrupt', p_reason text default 'cancelled by a client'
) returns boolean language plpgsql as $$
begin
  perform from agenthall.threads t
   where t.thread_id = (select r.thread_id from agenthall.runs r where r.run_id = p_run_id) for update;
  perform from agenthall.runs r where r.run_id = p_run_id and r.status = 'pending' for update;
  if not found then
    return false;
  end if;
  perform agenthall.end_cancelled(agenthall.mark_cancelled(p_run_id, p_action, p_reason));
  return true;
end $$;
comment on function agenthall.cancel_pending is
  'End a pending run as interrupted, or delete it (rollback). Return false if it is not pending any more.';

create function agenthall.stop_open_runs(p_thread_id uuid, p_action text, p_reason text) returns void
language plpgsql as $$
declare
  v_run agenthall.runs;
begin
  perform from agenthall.runs r
   where r.thread_id = p_thread_id and r.status in ('pending', 'running') order by r.run_id for update;
  for v_run in -- the one that is ready comes last, so that none becomes ready only to be stopped
    select * from agenthall.runs r
     where r.thread_id = p_thread_id and r.status in ('pending', 'running') order by r.ready, r.run_id desc
  loop
    v_run := agenthall.mark_cancelled(v_run.run_id, p_action, p_reason);
    if v_run.status = 'pending' then
      perform agenthall.end_cancelled(v_run);
    end if;
  end loop;
end $$;
comment on function agenthall.stop_open_runs is
  'Stop all open runs of a thread: pending ones at once, the running one through its worker. The caller has locked the '
  'thread''s row.';

create or replace function agenthall.enqueue_run(
  p_identity text, p_organizations text, p_admin boolean, p_grants text, p_auth jsonb, p_new_metadata jsonb,
  p_run_id uuid, p_thread_id uuid, p_new_thread text, p_keep_thread boolean, p_organization_id uuid,
  p_assistant_id uuid, p_assistant_version integer, p_graph_id text, p_assistant_metadata jsonb, p_metadata jsonb,
  p_kwargs json, p_thread_config jsonb, p_strategy text, p_resumable boolean, p_after interval, p_max_attempts integer,
  out outcome text, out run json
) language plpgsql as $$
declare
  v_thread agenthall.threads;
  v_run agenthall.runs;
  v_busy boolean;
  v_names jsonb := jsonb_build_object('graph_id', p_graph_id, 'assistant_id', p_assistant_id);
begin
  perform agenthall.act_as(p_identity, p_organizations, p_admin, p_grants);
  for try in 1..10 loop -- a thread that caused the conflict may be deleted before it is locked
    if p_new_thread in ('create', 'ephemeral') then
      insert into agenthall.threads (thread_id, owner_id, organization_id, ephemeral, metadata)
      values (p_thread_id, p_identity, p_organization_id, p_new_thread = 'ephemeral' and not p_keep_thread,
              p_new_metadata)
      on conflict (thread_id) do nothing;
    end if;
    select * into v_thread from agenthall.threads t
     where t.thread_id = p_thread_id and (p_admin or p_grants is not null or t.owner_id = p_identity) for update;
    exit when found or p_new_thread = 'reject';
  end loop;
  if v_thread.thread_id is null then
    outcome := 'thread_missing'; return;
  end if;
  if p_strategy in ('interrupt', 'rollback') then
    perform agenthall.stop_open_runs(p_thread_id, p_strategy,
      format('stopped for run %s (multitask_strategy %s)', p_run_id, p_strategy));
  end if;
  v_busy := exists (
    select from agenthall.runs r where r.thread_id = p_thread_id and r.status in ('pending', 'running'));
  if v_busy and p_strategy = 'reject' then
    outcome := 'busy'; return;
  end if;
  insert into agenthall.runs (
    run_id, thread_id, assistant_id, assistant_version, graph_id, owner_id, organization_id,
    metadata, kwargs, multitask_strategy, keep_thread,
    resumable, ready, run_at, max_attempts, auth)
  values (
    p_run_id, p_thread_id, p_assistant_id, p_assistant_version, p_graph_id,
    case when p_grants is null then v_thread.owner_id else p_identity end, v_thread.organization_id,
    p_assistant_metadata || v_thread.metadata || p_metadata || v_names, p_kwargs, p_strategy, p_keep_thread,
    p_resumable, not v_busy, clock_timestamp() + p_after, p_max_attempts, p_auth)
  returning * into v_run;
  update agenthall.threads t
     set status = 'busy', settled_status = case t.status when 'busy' then t.settled_status else t.status end,
         updated_at = now(), metadata = t.metadata || v_names, config = p_thread_config
   where t.thread_id = p_thread_id;
  outcome := 'enqueued'; run := agenthall.run_json(v_run);
end $$;
