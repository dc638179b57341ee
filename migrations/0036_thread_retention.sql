-- Keep only the latest checkpoints of each thread, delete idle threads, and tell what a thread's states take.

-- Rules of checkpoint_retention
--   1. A thread is looked at again when its state has changed: state_updated_at moves it to the end of the order. So a
--      look costs what has changed since the last one, and nothing for threads that nobody uses.
--   2. A process that holds the row looks. Others do not wait for it.
--   3. With another number to keep, the look begins with the first thread again.
create table agenthall.checkpoint_retention (
  only_row         boolean primary key default true,
  keep             integer not null,
  state_updated_at timestamptz not null default '-infinity',
  thread_id        uuid not null default '00000000-0000-0000-0000-000000000000',
  constraint checkpoint_retention_only_row check (only_row),
  constraint checkpoint_retention_keep check (keep > 0)
);
comment on table agenthall.checkpoint_retention is
  'the last thread, in the order of state_updated_at, whose checkpoints were counted and pruned';
grant select, insert, update on agenthall.checkpoint_retention to agenthall_system;

create function agenthall.prune_if_longer(p_thread_id uuid, p_keep integer) returns bigint language plpgsql as $$
declare v_deleted bigint;
begin
  if not exists (
    select from langgraph.checkpoints c where c.thread_id = p_thread_id::text
     group by c.checkpoint_ns having count(*) > p_keep)
  then
    return 0;
  end if;
  -- A thread that is in use comes again, when its run has ended.
  perform from agenthall.threads t where t.thread_id = p_thread_id for update skip locked;
  if not found or agenthall.is_thread_active(p_thread_id) then
    return 0;
  end if;
  return agenthall.prune_checkpoints(p_thread_id, p_keep);
exception
  when undefined_table then return 0;
  when others then
    raise warning 'the checkpoints of thread % cannot be pruned: %', p_thread_id, sqlerrm;
    return 0;
end $$;
comment on function agenthall.prune_if_longer is
  'Prune a thread that has more than p_keep checkpoints, unless it is in use. Return how many were deleted.';

create function agenthall.prune_changed_threads(
  p_keep integer, p_settled interval, p_limit integer, out looked integer, out deleted bigint
) language plpgsql as $$
declare
  v_at agenthall.checkpoint_retention;
  v_thread record;
begin
  looked := 0; deleted := 0;
  insert into agenthall.checkpoint_retention (keep) values (p_keep) on conflict (only_row) do nothing;
  select * into v_at from agenthall.checkpoint_retention for update skip locked;
  if not found then
    return;
  end if;
  if v_at.keep <> p_keep then
    v_at.state_updated_at := '-infinity'; v_at.thread_id := '00000000-0000-0000-0000-000000000000';
  end if;
  for v_thread in
    select t.thread_id, t.state_updated_at from agenthall.threads t
     where not t.ephemeral and (t.state_updated_at, t.thread_id) > (v_at.state_updated_at, v_at.thread_id)
       and t.state_updated_at < clock_timestamp() - p_settled
     order by t.state_updated_at, t.thread_id limit p_limit
  loop
    looked := looked + 1;
    v_at.state_updated_at := v_thread.state_updated_at; v_at.thread_id := v_thread.thread_id;
    deleted := agenthall.prune_if_longer(v_thread.thread_id, p_keep);
    exit when deleted > 0; -- commit: the thread is locked
  end loop;
  update agenthall.checkpoint_retention r
     set keep = p_keep, state_updated_at = v_at.state_updated_at, thread_id = v_at.thread_id;
end $$;
comment on function agenthall.prune_changed_threads is
  'Count the checkpoints of the next threads whose state has changed, at most p_limit, up to the first one that is '
  'pruned. p_settled: a state that changed later may not be visible yet. looked: 0 at the end, and while another '
  'process looks.';

create function agenthall.delete_idle_thread(p_thread_id uuid, p_idle interval) returns boolean language plpgsql as $$
begin
  perform from agenthall.threads t
   where t.thread_id = p_thread_id and t.updated_at < clock_timestamp() - p_idle for update skip locked;
  if not found or agenthall.is_thread_active(p_thread_id) then
    return false;
  end if;
  delete from agenthall.threads t where t.thread_id = p_thread_id;
  return true;
end $$;
comment on function agenthall.delete_idle_thread is
  'Delete a thread that nobody used for p_idle. Return false where it is in use.';

-- Sizes are those on disk, after compression. They are read without the values.
create function agenthall.checkpoint_storage(p_thread_id text) returns json language plpgsql stable as $$
declare v_storage json;
begin
  with states as (
    select count(*) as count, coalesce(sum(pg_column_size(c.checkpoint) + pg_column_size(c.metadata)), 0) as bytes
      from langgraph.checkpoints c where c.thread_id = p_thread_id),
  channels as (
    select b.channel, count(*) as versions, coalesce(sum(pg_column_size(b.blob)), 0) as bytes
      from langgraph.checkpoint_blobs b where b.thread_id = p_thread_id group by b.channel),
  channel_values as (
    select coalesce(sum(c.versions), 0) as count, coalesce(sum(c.bytes), 0) as bytes,
           coalesce(json_object_agg(c.channel, json_build_object('versions', c.versions, 'bytes', c.bytes)
                                    order by c.bytes desc, c.channel), '{}') as by_channel
      from channels c),
  writes as (
    select count(*) as count, coalesce(sum(pg_column_size(w.blob)), 0) as bytes
      from langgraph.checkpoint_writes w where w.thread_id = p_thread_id)
  select json_build_object(
           'thread_id', p_thread_id,
           'total_bytes', s.bytes + v.bytes + w.bytes,
           'checkpoints', json_build_object('count', s.count, 'bytes', s.bytes),
           'channel_values', json_build_object('count', v.count, 'bytes', v.bytes, 'by_channel', v.by_channel),
           'pending_writes', json_build_object('count', w.count, 'bytes', w.bytes))
    into v_storage
    from states s, channel_values v, writes w;
  return v_storage;
end $$;
comment on function agenthall.checkpoint_storage is
  'Return what the states of a thread take, in the form of GET /threads/{thread_id}/storage.';

-- SECURITY DEFINER: agenthall_app has no rights on LangGraph's tables.
create function agenthall.own_thread_storage(p_thread_id uuid) returns json
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform agenthall.assert_own_thread(p_thread_id);
  return agenthall.checkpoint_storage(p_thread_id::text);
end $$;
comment on function agenthall.own_thread_storage is
  'Return checkpoint_storage() of a thread. Raise insufficient_privilege unless the transaction''s principal owns it.';

-- Which threads are the largest is estimated from some pages of each table: to add up all rows would read all of them.
create function agenthall.sampled_threads(p_pages integer)
returns table (thread_id text, bytes bigint, is_exact boolean) language plpgsql as $$
declare
  v_table record;
  v_percent double precision;
begin
  for v_table in
    select * from (values
      ('langgraph.checkpoints', 'pg_column_size(r.checkpoint) + pg_column_size(r.metadata)'),
      ('langgraph.checkpoint_blobs', 'coalesce(pg_column_size(r.blob), 0)'),
      ('langgraph.checkpoint_writes', 'pg_column_size(r.blob)')) as sampled (name, size)
     where to_regclass(sampled.name) is not null
  loop
    v_percent := least(100, 100.0 * p_pages / greatest(1, pg_relation_size(v_table.name) / 8192));
    return query execute format(
      'select r.thread_id, (sum(%s) * 100 / $1)::bigint, $1 >= 100 from %s r tablesample system ($1)
        group by r.thread_id', v_table.size, v_table.name)
      using v_percent;
  end loop;
end $$;
comment on function agenthall.sampled_threads is
  'Estimate what threads take in each table of checkpoints, from about p_pages pages of it at most. is_exact: the '
  'table has no more.';

revoke execute on function agenthall.prune_if_longer, agenthall.prune_changed_threads, agenthall.delete_idle_thread,
  agenthall.checkpoint_storage, agenthall.own_thread_storage, agenthall.sampled_threads from public;
grant execute on function agenthall.prune_if_longer, agenthall.prune_changed_threads, agenthall.delete_idle_thread,
  agenthall.checkpoint_storage, agenthall.sampled_threads to agenthall_system;
grant execute on function agenthall.own_thread_storage to agenthall_app;
grant create on schema agenthall to agenthall_system;
alter function agenthall.own_thread_storage owner to agenthall_system;
revoke create on schema agenthall from agenthall_system;
