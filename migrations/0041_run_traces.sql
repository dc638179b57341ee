-- Keep the trace that a run continues.
--
-- Rules
--   1. traceparent and tracestate are those of W3C Trace Context. The web process writes them with the run; a worker
--      starts the span of each attempt as a child of them.
--   2. Both are text of a client, so their form and length are bounded here, too.
--   3. enqueue_run gets arguments with defaults. Processes of the release before leave them out.
--   4. A thread that enqueue_run creates is busy from the start: nobody else can know it, so it has no other run, and
--      nothing of it changes afterwards.

alter table agenthall.runs
  add column traceparent text,
  add column tracestate text,
  add constraint runs_traceparent check (traceparent ~ '^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$'),
  add constraint runs_tracestate check (
    tracestate is null or (length(tracestate) <= 512 and traceparent is not null));
comment on column agenthall.runs.traceparent is 'the span under which the run was enqueued; null: nobody traced it';
comment on column agenthall.runs.tracestate is 'members that tracing systems added to the trace of the run';

drop function agenthall.enqueue_run(
  text, text, boolean, text, jsonb, jsonb, uuid, uuid, text, boolean, uuid, uuid, integer, text, jsonb, jsonb, json,
  jsonb, text, boolean, interval, integer);
create function agenthall.enqueue_run(
  p_identity text, p_organizations text, p_admin boolean, p_grants text, p_auth jsonb, p_new_metadata jsonb,
  p_run_id uuid, p_thread_id uuid, p_new_thread text, p_keep_thread boolean, p_organization_id uuid,
  p_assistant_id uuid, p_assistant_version integer, p_graph_id text, p_assistant_metadata jsonb, p_metadata jsonb,
  p_kwargs json, p_thread_config jsonb, p_strategy text, p_resumable boolean, p_after interval, p_max_attempts integer,
  p_traceparent text default null, p_tracestate text default null,
  out outcome text, out run json
) language plpgsql as $$
declare
  v_thread agenthall.threads;
  v_run agenthall.runs;
  v_busy boolean := false;
  v_is_new boolean := false;
  v_names jsonb := jsonb_build_object('graph_id', p_graph_id, 'assistant_id', p_assistant_id);
begin
  perform agenthall.act_as(p_identity, p_organizations, p_admin, p_grants);
  for try in 1..10 loop -- a thread that caused the conflict may be deleted before it is locked
    if p_new_thread in ('create', 'ephemeral') then
      insert into agenthall.threads (thread_id, owner_id, organization_id, ephemeral, metadata, config, status)
      values (p_thread_id, p_identity, p_organization_id, p_new_thread = 'ephemeral' and not p_keep_thread,
              p_new_metadata || v_names, p_thread_config, 'busy')
      on conflict (thread_id) do nothing
      returning * into v_thread;
      v_is_new := found;
      exit when v_is_new;
    end if;
    select * into v_thread from agenthall.threads t
     where t.thread_id = p_thread_id and (p_admin or p_grants is not null or t.owner_id = p_identity) for update;
    exit when found or p_new_thread = 'reject';
  end loop;
  if v_thread.thread_id is null then
    outcome := 'thread_missing'; return;
  end if;
  if not v_is_new then
    if p_strategy in ('interrupt', 'rollback') then
      perform agenthall.stop_open_runs(p_thread_id, p_strategy,
        format('stopped for run %s (multitask_strategy %s)', p_run_id, p_strategy));
    end if;
    v_busy := exists (
      select from agenthall.runs r where r.thread_id = p_thread_id and r.status in ('pending', 'running'));
    if v_busy and p_strategy = 'reject' then
      outcome := 'busy'; return;
    end if;
    update agenthall.threads t
       set status = 'busy', settled_status = case t.status when 'busy' then t.settled_status else t.status end,
           updated_at = now(), metadata = t.metadata || v_names, config = p_thread_config
     where t.thread_id = p_thread_id;
  end if;
  insert into agenthall.runs (
    run_id, thread_id, assistant_id, assistant_version, graph_id, owner_id, organization_id,
    metadata, kwargs, multitask_strategy, keep_thread,
    resumable, ready, run_at, max_attempts, auth, traceparent, tracestate)
  values (
    p_run_id, p_thread_id, p_assistant_id, p_assistant_version, p_graph_id,
    case when p_grants is null then v_thread.owner_id else p_identity end, v_thread.organization_id,
    p_assistant_metadata || v_thread.metadata || p_metadata || v_names, p_kwargs, p_strategy, p_keep_thread,
    p_resumable, not v_busy, clock_timestamp() + p_after, p_max_attempts, p_auth, p_traceparent,
    p_tracestate)
  returning * into v_run;
  outcome := 'enqueued'; run := agenthall.run_json(v_run);
end $$;
comment on function agenthall.enqueue_run(
  text, text, boolean, text, jsonb, jsonb, uuid, uuid, text, boolean, uuid, uuid, integer, text, jsonb, jsonb, json,
  jsonb, text, boolean, interval, integer, text, text) is
  'Add a run to a thread''s queue. p_new_thread: reject (the thread must exist), create, or ephemeral. '
  'p_new_metadata: of a thread that is created. p_auth: the user for the graph. p_traceparent: the span that enqueues '
  'the run. outcome: enqueued, busy (only with strategy reject), or thread_missing. With grants, the run belongs to '
  'the caller, also on the thread of another user.';
