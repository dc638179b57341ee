-- Replace enqueue_run: the server's own keys of a run's metadata override those of the client.
create or replace function agenthall.enqueue_run(
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
    p_assistant_metadata || v_thread.metadata || p_metadata || v_names, p_kwargs, p_strategy, p_keep_thread,
    p_resumable, not v_busy, clock_timestamp() + p_after, p_max_attempts)
  returning * into v_run;
  update agenthall.threads t
     set status = 'busy', updated_at = now(), metadata = t.metadata || v_names, config = p_thread_config
   where t.thread_id = p_thread_id;
  outcome := 'enqueued'; run := agenthall.run_json(v_run);
end $$;
