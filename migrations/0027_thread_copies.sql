-- Copy threads with their checkpoints, and count threads as they are searched.

-- Copy the checkpoints of a thread to another one, both of the principal of the transaction. The rows of `checkpoints`
-- come first: those that they refer to were committed with them or before. SECURITY DEFINER: agenthall_app has no
-- rights on LangGraph's tables.
create function agenthall.copy_checkpoints(p_from uuid, p_to uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if not agenthall.current_is_admin() and exists (
    select from unnest(array[p_from, p_to]) as named (id)
     where not exists (select from agenthall.threads t
                        where t.thread_id = named.id and t.owner_id = agenthall.current_identity()))
  then
    raise exception 'not a thread of the principal' using errcode = 'insufficient_privilege';
  end if;
  insert into langgraph.checkpoints (
    thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata)
  select p_to::text, c.checkpoint_ns, c.checkpoint_id, c.parent_checkpoint_id, c.type, c.checkpoint,
         c.metadata || jsonb_build_object('thread_id', p_to)
    from langgraph.checkpoints c where c.thread_id = p_from::text;
  insert into langgraph.checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
  select p_to::text, b.checkpoint_ns, b.channel, b.version, b.type, b.blob
    from langgraph.checkpoint_blobs b where b.thread_id = p_from::text;
  insert into langgraph.checkpoint_writes (
    thread_id, checkpoint_ns, checkpoint_id, task_id, idx, channel, type, blob, task_path)
  select p_to::text, w.checkpoint_ns, w.checkpoint_id, w.task_id, w.idx, w.channel, w.type, w.blob, w.task_path
    from langgraph.checkpoint_writes w where w.thread_id = p_from::text;
exception when undefined_table then null; -- LangGraph's setup, which creates its tables, runs after the migrations
end $$;
comment on function agenthall.copy_checkpoints is
  'Copy the checkpoints of a thread to another one. Raise insufficient_privilege unless the principal owns both.';

create function agenthall.count_matching_threads(p_metadata jsonb, p_values jsonb, p_status text) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off set random_page_cost = 1.1 as $$
declare
  v_indexed_values jsonb := agenthall.indexed_values(p_values);
  v_count bigint;
begin
  execute concat(
    'select count(*) from agenthall.threads t where not t.ephemeral',
    case when p_metadata is not null then ' and t.metadata @> $1' end,
    case when v_indexed_values <> '{}' then ' and agenthall.indexed_values(t."values") @> $2' end,
    case when p_values is not null then ' and t."values" @> $3' end,
    case when p_status is not null then ' and t.status = $4 and array[t.status] @> array[$4]' end,
    case when not agenthall.current_is_admin() then ' and t.owner_id = $5 and array[t.owner_id] @> array[$5]' end)
    into v_count
    using p_metadata, v_indexed_values, p_values, p_status, agenthall.current_identity();
  return v_count;
end $$;
comment on function agenthall.count_matching_threads is
  'Count the threads of the principal that match. A null is no filter.';

revoke execute on function agenthall.copy_checkpoints, agenthall.count_matching_threads from public;
grant execute on function agenthall.copy_checkpoints, agenthall.count_matching_threads to agenthall_app;
grant create on schema agenthall to agenthall_system;
alter function agenthall.copy_checkpoints owner to agenthall_system;
alter function agenthall.count_matching_threads owner to agenthall_system;
revoke create on schema agenthall from agenthall_system;
