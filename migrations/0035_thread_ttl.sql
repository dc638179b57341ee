-- Give threads a time to live, and prune the checkpoints of a thread.
--
-- Rules
--   1. A ttl counts from when it is set, and again from each end of a run and each update of the state. A trigger
--      starts it, so no statement that changes a thread can forget it.
--   2. The session says what a thread gets that names no ttl: agenthall.thread_ttl (an interval), and
--      agenthall.thread_ttl_strategy. It is given when the thread is created, and when a run begins.
--   3. A thread with a pending or running run is never expired and never pruned. Both lock the thread's row first and
--      read its runs afterwards, so no run begins and no state is updated until they have ended.
alter table agenthall.threads
  add column ttl interval,
  add column ttl_strategy text,
  add column expires_at timestamptz,
  add constraint threads_ttl check (ttl > interval '0'),
  add constraint threads_ttl_strategy check (ttl_strategy in ('delete', 'keep_latest')),
  add constraint threads_ttl_complete check (
    (ttl is null) = (ttl_strategy is null) and (expires_at is null or ttl is not null));
comment on column agenthall.threads.ttl is
  'how long the thread lives after its ttl was set, its last run or its last update; null: for ever';
comment on column agenthall.threads.ttl_strategy is
  'delete: the thread goes with everything; keep_latest: older checkpoints go, and its next run starts the ttl again';
create index threads_expiring on agenthall.threads (expires_at, thread_id)
  where expires_at is not null and status <> 'busy';

create function agenthall.start_thread_ttl() returns trigger language plpgsql as $$
begin
  if new.ttl is null and (tg_op = 'INSERT' or new.status = 'busy') then
    new.ttl := nullif(current_setting('agenthall.thread_ttl', true), '')::interval;
    new.ttl_strategy := case when new.ttl is not null then
      coalesce(nullif(current_setting('agenthall.thread_ttl_strategy', true), ''), 'delete') end;
  end if;
  new.expires_at := clock_timestamp() + new.ttl;
  return new;
end $$;
create trigger start_thread_ttl before insert or update of status, state_updated_at, ttl, ttl_strategy
  on agenthall.threads for each row when (not new.ephemeral) execute function agenthall.start_thread_ttl();

create function agenthall.thread_ttl_json(t agenthall.threads) returns json language sql stable as $$
  select case when t.ttl is not null then json_build_object(
    'strategy', t.ttl_strategy, 'ttl_minutes', trim_scale(extract(epoch from t.ttl) / 60),
    'expires_at', agenthall.iso(t.expires_at)) end
$$;

create function agenthall.is_thread_active(p_thread_id uuid) returns boolean language plpgsql volatile as $$
begin
  return exists (
    select from agenthall.runs r where r.thread_id = p_thread_id and r.status in ('pending', 'running'));
end $$;
comment on function agenthall.is_thread_active is
  'Return whether the thread has a pending or running run. Volatile, so that it sees '
  'all that was committed until the thread''s row was locked.';

-- The value of a DeltaChannel is not stored with each checkpoint: it is replayed from the writes of the checkpoint's
-- ancestors, back to one with a stored value. LangGraph names the channels that it has to replay in the metadata.
create function agenthall.replayed_ancestors(p_thread_id text, p_namespace text, p_checkpoint_ids text[])
returns setof text language plpgsql as $$
declare
  v_delta text[] := array(
    select distinct channel from langgraph.checkpoints c
     cross join lateral jsonb_object_keys(c.metadata -> 'counters_since_delta_snapshot') as channel
     where c.thread_id = p_thread_id and c.checkpoint_ns = p_namespace);
  v_id text;
  v_open text[];
  v_at record; -- the table may not exist yet
begin
  if v_delta = '{}' then
    return;
  end if;
  foreach v_id in array p_checkpoint_ids loop
    v_open := v_delta;
    loop
      select * into v_at from langgraph.checkpoints c
       where c.thread_id = p_thread_id and c.checkpoint_ns = p_namespace and c.checkpoint_id = v_id;
      exit when not found;
      return next v_id;
      v_open := array(
        select o.channel from unnest(v_open) as o (channel)
         where v_at.checkpoint -> 'channel_versions' ? o.channel
           and coalesce(v_at.checkpoint -> 'channel_values' -> o.channel, 'null') = 'null'
           and not exists (
             select from langgraph.checkpoint_blobs b
              where b.thread_id = p_thread_id and b.checkpoint_ns = p_namespace and b.channel = o.channel
                and b.version = v_at.checkpoint -> 'channel_versions' ->> o.channel and b.type <> 'empty'));
      exit when v_open = '{}';
      v_id := v_at.parent_checkpoint_id;
    end loop;
  end loop;
end $$;
comment on function agenthall.replayed_ancestors is
  'Return the checkpoints that are read to restore these ones: themselves and ancestors; none without a DeltaChannel.';

create function agenthall.prune_checkpoints(p_thread_id uuid, p_keep integer) returns bigint language plpgsql as $$
declare
  v_thread constant text := p_thread_id::text;
  v_roots constant text[] := array(
    select c.checkpoint_id from langgraph.checkpoints c where c.thread_id = v_thread and c.checkpoint_ns = ''
     order by c.checkpoint_id desc limit p_keep);
  v_namespace text;
  v_latest text[];
  v_kept text[];
  v_deleted bigint;
  v_total bigint := 0;
begin
  -- The namespace of a call of a subgraph ends in the id of its task, which is a task of one root checkpoint. It is
  -- read again only with that one. A subgraph that keeps its state over calls has a namespace without ids.
  delete from langgraph.checkpoints c
   where c.thread_id = v_thread and c.checkpoint_ns like '%:%' and v_roots <> '{}'
     and not coalesce(c.metadata -> 'parents' ->> '' = any (v_roots), true);
  get diagnostics v_total = row_count;
  for v_namespace in select distinct c.checkpoint_ns from langgraph.checkpoints c where c.thread_id = v_thread loop
    v_latest := array(
      select c.checkpoint_id from langgraph.checkpoints c
       where c.thread_id = v_thread and c.checkpoint_ns = v_namespace order by c.checkpoint_id desc limit p_keep);
    v_kept := array(select agenthall.replayed_ancestors(v_thread, v_namespace, v_latest)) || v_latest;
    delete from langgraph.checkpoints c
     where c.thread_id = v_thread and c.checkpoint_ns = v_namespace
       and c.checkpoint_id not in (select unnest(v_kept));
    get diagnostics v_deleted = row_count;
    v_total := v_total + v_deleted;
    if v_deleted > 0 then
      update langgraph.checkpoints c set parent_checkpoint_id = null
       where c.thread_id = v_thread and c.checkpoint_ns = v_namespace
         and c.parent_checkpoint_id not in (select unnest(v_kept));
    end if;
  end loop;
  -- NOT IN, because its subquery is hashed whatever the planner believes of the thread's size. A join may be nested.
  delete from langgraph.checkpoint_writes w
   where w.thread_id = v_thread and (w.checkpoint_ns, w.checkpoint_id) not in (
     select c.checkpoint_ns, c.checkpoint_id from langgraph.checkpoints c where c.thread_id = v_thread);
  delete from langgraph.checkpoint_blobs b
   where b.thread_id = v_thread and (b.checkpoint_ns, b.channel, b.version) not in (
     select c.checkpoint_ns, v.key, v.value from langgraph.checkpoints c
      cross join lateral jsonb_each_text(c.checkpoint -> 'channel_versions') as v
      where c.thread_id = v_thread and v.value is not null);
  return v_total;
exception when undefined_table then return 0; -- LangGraph's setup, which creates its tables, runs after the migrations
end $$;
comment on function agenthall.prune_checkpoints is
  'Delete all but the p_keep latest checkpoints of a thread, and the writes and blobs that none of them refers to. The '
  'caller has locked the thread''s row, and knows that no run is active. Return how many checkpoints were deleted.';

-- SECURITY DEFINER: agenthall_app has no rights on LangGraph's tables.
create function agenthall.assert_own_thread(p_thread_id uuid) returns void language plpgsql stable as $$
declare v_grants constant jsonb := agenthall.current_grants();
begin
  if not agenthall.current_is_admin() and not exists (
    select from agenthall.threads t
     where t.thread_id = p_thread_id
       and case when v_grants is null then t.owner_id = agenthall.current_identity()
                else agenthall.is_granted(v_grants -> 'threads', t.metadata, t.owner_id) end)
  then
    raise exception 'not a thread of the principal' using errcode = 'insufficient_privilege';
  end if;
end $$;
comment on function agenthall.assert_own_thread is
  'Raise insufficient_privilege unless the principal of the transaction reaches the thread.';

create function agenthall.prune_own_checkpoints(p_thread_id uuid, p_keep integer) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform agenthall.assert_own_thread(p_thread_id);
  return agenthall.prune_checkpoints(p_thread_id, p_keep);
end $$;
comment on function agenthall.prune_own_checkpoints is
  'Prune the checkpoints of a thread. Raise insufficient_privilege unless the principal of the transaction owns it.';

create function agenthall.prune_thread(
  p_identity text, p_organizations text, p_admin boolean, p_grants text, p_thread_id uuid, p_strategy text
) returns boolean language plpgsql as $$
begin
  perform agenthall.act_as(p_identity, p_organizations, p_admin, p_grants);
  perform from agenthall.threads t
   where t.thread_id = p_thread_id and (p_admin or p_grants is not null or t.owner_id = p_identity) for update;
  if not found or agenthall.is_thread_active(p_thread_id) then
    return false;
  end if;
  if p_strategy = 'delete' then
    delete from agenthall.threads t where t.thread_id = p_thread_id;
  else
    perform agenthall.prune_own_checkpoints(p_thread_id, 1);
  end if;
  return true;
end $$;
comment on function agenthall.prune_thread is
  'Delete a thread of the principal, or with keep_latest its older checkpoints. Return false, and change nothing, if '
  'there is none or a run is pending or running.';

create function agenthall.expire_thread(p_thread_id uuid) returns text language plpgsql as $$
declare v_thread agenthall.threads;
begin
  -- A thread that somebody else has locked is in use, or another process expires it.
  select * into v_thread from agenthall.threads t
   where t.thread_id = p_thread_id and t.expires_at <= clock_timestamp() for update skip locked;
  if not found or agenthall.is_thread_active(p_thread_id) then
    return null;
  end if;
  if v_thread.ttl_strategy = 'delete' then
    delete from agenthall.threads t where t.thread_id = p_thread_id;
  else
    perform agenthall.prune_checkpoints(p_thread_id, 1);
    update agenthall.threads t set expires_at = null where t.thread_id = p_thread_id;
  end if;
  return v_thread.ttl_strategy;
end $$;
comment on function agenthall.expire_thread is
  'Apply the strategy of a thread whose ttl is over, and return it. Return null where the thread is in use.';

revoke execute on function agenthall.replayed_ancestors, agenthall.prune_checkpoints, agenthall.prune_own_checkpoints,
  agenthall.expire_thread from public;
grant execute on function agenthall.replayed_ancestors, agenthall.prune_checkpoints, agenthall.expire_thread
  to agenthall_system;
grant execute on function agenthall.prune_own_checkpoints to agenthall_app;
grant create on schema agenthall to agenthall_system;
alter function agenthall.prune_own_checkpoints owner to agenthall_system;
revoke create on schema agenthall from agenthall_system;
