-- Create runs: executions of an assistant, and the queue that workers claim them from.
--
-- Rules
--   1. At most one run of a thread is ready (claimable or running). `ready` is given to the first run and passed on
--      when that run ends. A unique index guarantees it: two ready runs would make every claim fail.
--   2. A function that decides about a thread's runs locks the thread's row first and reads afterwards. The functions
--      are written in PL/pgSQL for this reason: each of their statements sees what was committed before the statement
--      began. One statement with CTEs would decide on a snapshot that is older than the lock.
--   3. A running run belongs to (worker_id, attempt) until lease_until, on this database's clock. Each write for a run
--      names both, so a worker that lost its lease changes nothing, not even a checkpoint (assert_lease).
--   4. Locks are taken in one order: threads by id, then runs by id. A function that waits for several sorts them
--      first.
--   5. A worker locks its run FOR KEY SHARE while the run must not be taken away. Functions that take a run away
--      (rescue, release, delete) lock it FOR UPDATE.
create table agenthall.runs (
  run_id             uuid primary key,
  thread_id          uuid not null references agenthall.threads on delete cascade,
  assistant_id       uuid not null,
  assistant_version  integer not null,
  graph_id           text not null,
  owner_id           text not null,
  organization_id    uuid,
  status             text not null default 'pending',
  metadata           jsonb not null default '{}',
  kwargs             json not null,
  multitask_strategy text not null default 'enqueue',
  keep_thread        boolean not null default true,
  resumable          boolean not null default false,
  ready              boolean not null,
  run_at             timestamptz not null default now(),
  attempt            integer not null default 0,
  max_attempts       integer not null default 3,
  worker_id          uuid,
  lease_until        timestamptz,
  cancel_action      text,
  error              jsonb,
  created_at         timestamptz not null default now(),
  updated_at         timestamptz not null default now(),
  constraint runs_status check (status in ('pending', 'running', 'success', 'error', 'timeout', 'interrupted')),
  constraint runs_strategy check (multitask_strategy in ('reject', 'enqueue', 'interrupt', 'rollback')),
  constraint runs_cancel check (cancel_action in ('interrupt', 'rollback')),
  constraint runs_lease check ((status = 'running') = (lease_until is not null and worker_id is not null)),
  constraint runs_ready check (case status when 'pending' then true when 'running' then ready else not ready end)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
create index runs_claimable on agenthall.runs (run_at, run_id) where status = 'pending' and ready;
create index runs_of_thread on agenthall.runs (thread_id, run_id desc);
create index runs_leases on agenthall.runs (lease_until) where status = 'running';
create unique index runs_one_ready on agenthall.runs (thread_id) where ready;

create function agenthall.run_json(r agenthall.runs) returns json language sql stable as $$
  select json_build_object(
    'run_id', r.run_id, 'thread_id', r.thread_id, 'assistant_id', r.assistant_id, 'metadata', r.metadata,
    'status', r.status, 'kwargs', r.kwargs, 'multitask_strategy', r.multitask_strategy,
    'created_at', agenthall.iso(r.created_at), 'updated_at', agenthall.iso(r.updated_at),
    'langsmith_session_name', null)
$$;

-- Create the events that a run emits, in order. Only the holder of the run's lease writes, so `seq` has no gaps.
create table agenthall.run_events (
  run_id     uuid not null,
  seq        integer not null,
  attempt    integer not null,
  event      text not null,
  data       text not null,
  created_at timestamptz not null default now(),
  primary key (run_id, seq)
);
create index run_events_age on agenthall.run_events using brin (created_at);
comment on column agenthall.run_events.event is 'name of the event on the wire; `__end__` closes a run and is not sent';

alter table agenthall.runs enable row level security;
alter table agenthall.runs force row level security;
alter table agenthall.run_events enable row level security;
alter table agenthall.run_events force row level security;
grant select, insert, update, delete on agenthall.runs to agenthall_app, agenthall_system;
grant select, insert, update, delete on agenthall.run_events to agenthall_system;
create policy system_all on agenthall.runs to agenthall_system using (true) with check (true);
create policy system_all on agenthall.run_events to agenthall_system using (true) with check (true);
create policy all_own on agenthall.runs to agenthall_app
  using ((select agenthall.current_is_admin()) or owner_id = (select agenthall.current_identity()))
  with check ((select agenthall.current_is_admin()) or owner_id = (select agenthall.current_identity()));

create function agenthall.enqueue_run(
  p_identity text, p_organizations text, p_admin boolean,
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
  perform agenthall.act_as(p_identity, p_organizations, p_admin);
  for try in 1..10 loop -- a thread that caused the conflict may be deleted before it is locked
    if p_new_thread in ('create', 'ephemeral') then
      insert into agenthall.threads (thread_id, owner_id, organization_id, ephemeral)
      values (p_thread_id, p_identity, p_organization_id, p_new_thread = 'ephemeral' and not p_keep_thread)
      on conflict (thread_id) do nothing;
    end if;
    select * into v_thread from agenthall.threads t
     where t.thread_id = p_thread_id and (p_admin or t.owner_id = p_identity) for update;
    exit when found or p_new_thread = 'reject';
  end loop;
  if v_thread.thread_id is null then
    outcome := 'thread_missing'; return;
  end if;
  v_busy := exists (
    select from agenthall.runs r where r.thread_id = p_thread_id and r.status in ('pending', 'running'));
  if v_busy and p_strategy = 'reject' then
    outcome := 'busy'; return;
  end if;
  insert into agenthall.runs (
    run_id, thread_id, assistant_id, assistant_version, graph_id, owner_id, organization_id,
    metadata, kwargs, multitask_strategy, keep_thread,
    resumable, ready, run_at, max_attempts)
  values (
    p_run_id, p_thread_id, p_assistant_id, p_assistant_version, p_graph_id, v_thread.owner_id, v_thread.organization_id,
    p_assistant_metadata || v_thread.metadata || v_names || p_metadata, p_kwargs, p_strategy, p_keep_thread,
    p_resumable, not v_busy, clock_timestamp() + p_after, p_max_attempts)
  returning * into v_run;
  update agenthall.threads t
     set status = 'busy', updated_at = now(), metadata = t.metadata || v_names, config = p_thread_config
   where t.thread_id = p_thread_id;
  outcome := 'enqueued'; run := agenthall.run_json(v_run);
end $$;
comment on function agenthall.enqueue_run is
  'Add a run to a thread''s queue. p_new_thread: reject (the thread must exist), create, or ephemeral. outcome: '
  'enqueued, busy (only with strategy reject), or thread_missing.';

create function agenthall.claim_runs(p_worker uuid, p_slots integer, p_lease interval, p_graphs text[])
returns setof agenthall.runs language plpgsql as $$
begin
  -- This commit waits for the disk. If a crash of the database undid a claim, the same worker could claim the run
  -- again, with the same attempt number.
  return query
    with next as materialized (
      select r.run_id from agenthall.runs r
       where r.status = 'pending' and r.ready and r.run_at <= clock_timestamp() and r.graph_id = any (p_graphs)
       order by r.run_at, r.run_id limit p_slots for update skip locked)
    update agenthall.runs r
       set status = 'running', attempt = r.attempt + 1, worker_id = p_worker,
           lease_until = clock_timestamp() + p_lease, updated_at = clock_timestamp()
      from next where r.run_id = next.run_id
    returning r.*;
end $$;
comment on function agenthall.claim_runs is
  'Claim at most p_slots ready runs of these graphs for a worker, oldest first.';

create function agenthall.last_seq(p_run_id uuid) returns integer language plpgsql volatile as
$$ begin return (select coalesce(max(e.seq), 0) from agenthall.run_events e where e.run_id = p_run_id); end $$;
comment on function agenthall.last_seq is
  'Return the number of the run''s last event. Volatile, so that a statement that claims a run and calls this function '
  'reads events that were committed after the statement''s own snapshot.';

create function agenthall.ready_next_run(p_thread_id uuid) returns boolean language plpgsql as $$
begin
  update agenthall.runs r set ready = true
   where r.run_id = (select n.run_id from agenthall.runs n where n.thread_id = p_thread_id and n.status = 'pending'
                      order by n.run_id limit 1)
     and not exists (select from agenthall.runs o where o.thread_id = p_thread_id and o.ready);
  return found;
end $$;
comment on function agenthall.ready_next_run is
  'Make the thread''s next pending run claimable. The caller has locked the thread''s row.';

create function agenthall.end_run(
  p_run agenthall.runs, p_status text, p_thread_status text, p_values jsonb, p_error jsonb, p_interrupts jsonb,
  p_metadata jsonb, p_result text
) returns boolean language plpgsql as $$
declare
  v_next boolean;
  v_ran boolean := p_run.attempt > 0;
begin
  insert into agenthall.run_events (run_id, seq, attempt, event, data)
  values (p_run.run_id, agenthall.last_seq(p_run.run_id) + 1, p_run.attempt, '__end__', p_result);
  if not p_run.keep_thread then
    delete from agenthall.threads t where t.thread_id = p_run.thread_id and t.ephemeral;
    return false;
  end if;
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
         "values" = coalesce(p_values, t."values"), updated_at = clock_timestamp(),
         -- a run that was cancelled before it began leaves the thread's state as it was
         error = case when v_ran then p_error else t.error end,
         interrupts = case when v_ran then p_interrupts else t.interrupts end,
         state_updated_at = case when v_ran then clock_timestamp() else t.state_updated_at end
   where t.thread_id = p_run.thread_id;
  return v_next;
end $$;
comment on function agenthall.end_run is
  'End a run; no other function does. The caller has locked the thread''s row and checked that the run has not ended. '
  'Return whether another run of the thread became claimable.';

create function agenthall.flush_runs(
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
    perform from agenthall.threads t -- rules 2 and 4
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
comment on function agenthall.flush_runs is
  'Write events and ends of many runs of one worker in one transaction. lost, lost_attempts: runs that this worker '
  'does not hold; nothing was written for them. woke: another run became claimable.';

create function agenthall.renew_leases(p_worker uuid, p_run_ids uuid[], p_lease interval)
returns table (run_id uuid, attempt integer, cancel_action text) language plpgsql as $$
begin
  perform set_config('synchronous_commit', 'off', true);
  return query
    with leased as materialized (
      select l.run_id from agenthall.runs l
       where l.run_id = any (p_run_ids) and l.worker_id = p_worker and l.status = 'running'
       order by l.run_id for no key update)
    update agenthall.runs r set lease_until = clock_timestamp() + p_lease
      from leased where r.run_id = leased.run_id
    returning r.run_id, r.attempt, r.cancel_action;
end $$;
comment on function agenthall.renew_leases is
  'Extend the leases of runs. Return those that the worker still holds, with a cancellation that a client asked for.';

create function agenthall.assert_lease(p_worker uuid, p_run_id uuid, p_attempt integer) returns void
language plpgsql as $$
begin
  perform from agenthall.runs r
   where r.run_id = p_run_id and r.worker_id = p_worker and r.attempt = p_attempt and r.status = 'running'
     for key share;
  if not found then
    raise exception 'run % is not held by worker % in attempt % any more', p_run_id, p_worker, p_attempt
      using errcode = 'AH001';
  end if;
end $$;
comment on function agenthall.assert_lease is
  'Fail with AH001 unless the worker holds the run in this attempt. This is the last statement of each transaction '
  'that writes a checkpoint.';

create function agenthall.requeue_run(p_run agenthall.runs, p_drained boolean) returns boolean language plpgsql as $$
declare
  v_error jsonb := '{"error": "WorkerLost", "message": "Every worker that took this run disappeared."}';
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
         max_attempts = r.max_attempts + p_drained::integer, updated_at = clock_timestamp()
   where r.run_id = p_run.run_id;
  return true;
end $$;
comment on function agenthall.requeue_run is
  'Take a run from its worker and make it claimable again, or end it if it was cancelled or has no attempts left. '
  'p_drained: the worker stops on request, so the attempt does not count. The caller has locked the rows of the thread '
  'and of the run. Return whether the run is claimable.';

create function agenthall.rescue_runs(p_limit integer, out rescued integer, out failed integer) language plpgsql as $$
declare
  v_run agenthall.runs;
begin
  rescued := 0; failed := 0;
  for v_run in
    select * from agenthall.runs r where r.status = 'running' and r.lease_until < clock_timestamp() limit p_limit
  loop
    -- rule 4, without waiting: a thread or run that another transaction has locked is skipped
    perform from agenthall.threads t where t.thread_id = v_run.thread_id for update skip locked;
    continue when not found;
    select * into v_run from agenthall.runs r
     where r.run_id = v_run.run_id and r.status = 'running' and r.lease_until < clock_timestamp()
       for update skip locked;
    continue when not found;
    if agenthall.requeue_run(v_run, p_drained => false) then
      rescued := rescued + 1;
    else
      failed := failed + 1;
    end if;
  end loop;
end $$;
comment on function agenthall.rescue_runs is
  'Requeue runs whose lease has lapsed, and end those that have no attempts left with an error.';

create function agenthall.cancel_run(
  p_identity text, p_organizations text, p_admin boolean, p_thread_id uuid, p_run_id uuid, p_action text
) returns text language plpgsql as $$
declare v_run agenthall.runs;
begin
  perform agenthall.act_as(p_identity, p_organizations, p_admin);
  select * into v_run from agenthall.runs r where r.run_id = p_run_id and r.thread_id = p_thread_id
     and (p_admin or r.owner_id = p_identity) for update;
  if not found then
    return 'missing';
  elsif v_run.status = 'pending' then
    return 'pending';
  elsif v_run.status = 'running' then
    update agenthall.runs r set cancel_action = p_action where r.run_id = p_run_id;
    return 'running';
  end if;
  return 'ended';
end $$;
comment on function agenthall.cancel_run is
  'Ask for the cancellation of a run and return its state: pending, running, ended or missing. The worker of a running '
  'run learns of it when it renews its lease; the caller ends a pending run with cancel_pending().';

create function agenthall.cancel_pending(p_run_id uuid) returns boolean language plpgsql as $$
declare v_run agenthall.runs;
begin
  perform from agenthall.threads t
   where t.thread_id = (select r.thread_id from agenthall.runs r where r.run_id = p_run_id) for update;
  select * into v_run from agenthall.runs r where r.run_id = p_run_id and r.status = 'pending' for update;
  if not found then
    return false;
  end if;
  perform agenthall.end_run(v_run, 'interrupted', 'interrupted', null,
    '{"error": "UserInterrupt", "message": "interrupt"}', '{}', '{}', '{"status": "interrupted", "values": null}');
  return true;
end $$;
comment on function agenthall.cancel_pending is
  'End a pending run as interrupted. Return false if it is not pending any more.';

create function agenthall.release_runs(p_worker uuid, p_drained boolean, out released integer, out ended integer)
language plpgsql as $$
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
    if agenthall.requeue_run(v_run, p_drained) then
      released := released + 1;
    else
      ended := ended + 1;
    end if;
  end loop;
end $$;
comment on function agenthall.release_runs is
  'Requeue all runs of a worker, including runs that the worker does not know of. Another worker continues each run '
  'from its last checkpoint. p_drained: the worker stops on request; otherwise it died and its replacement calls this.';

create function agenthall.delete_checkpoints(p_thread_id uuid) returns void language plpgsql as $$
begin
  delete from langgraph.checkpoints where thread_id = p_thread_id::text;
  delete from langgraph.checkpoint_blobs where thread_id = p_thread_id::text;
  delete from langgraph.checkpoint_writes where thread_id = p_thread_id::text;
exception when undefined_table then null; -- LangGraph's setup, which creates its tables, runs after the migrations
end $$;

-- Delete a thread's checkpoints in the transaction that deletes the thread, so that a crash leaves no orphans. The
-- trigger fires after the cascade to runs (triggers fire in the order of their names), which has waited for the runs'
-- last checkpoints (assert_lease). SECURITY DEFINER: agenthall_app has no rights on LangGraph's tables.
create function agenthall.delete_checkpoints_of_thread() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform agenthall.delete_checkpoints(old.thread_id);
  return null;
end $$;
revoke execute on function agenthall.delete_checkpoints_of_thread from public;
create trigger delete_checkpoints_of_thread after delete on agenthall.threads for each row when (not old.ephemeral)
  execute function agenthall.delete_checkpoints_of_thread();

-- Close the events of a run that is deleted with its thread, so that clients that follow the run learn of its end.
grant select, insert on agenthall.run_events to agenthall_app;
create policy all_of_own on agenthall.run_events to agenthall_app
  using (exists (select from agenthall.runs r where r.run_id = run_events.run_id))
  with check (exists (select from agenthall.runs r where r.run_id = run_events.run_id));

create function agenthall.close_deleted_run() returns trigger language plpgsql as $$
begin
  if old.status in ('pending', 'running')
     and not exists (select from agenthall.run_events e where e.run_id = old.run_id and e.event = '__end__') then
    insert into agenthall.run_events (run_id, seq, attempt, event, data)
    select old.run_id, coalesce(max(e.seq), 0) + 1, old.attempt, '__end__', '{"status": "interrupted", "values": null}'
      from agenthall.run_events e where e.run_id = old.run_id;
  end if;
  return old;
end $$;
create trigger close_deleted_run before delete on agenthall.runs for each row
  execute function agenthall.close_deleted_run();
