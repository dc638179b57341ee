-- Let the handlers of a project (`auth` of langgraph.json) decide which rows a request reaches.
--
-- Rules
--   1. A request of such a project has grants: for each resource that its handlers decided about, a list of conditions
--      that a row must meet. A resource without a grant is closed. `threads` and `assistants` say which rows are
--      reached, `new_threads` (else `threads`) how a new one must look.
--   2. A condition is a JSON object: `contains` is contained in the row's metadata, each member of `equals` is equal to
--      the metadata's, `own` is the row's owner. `defaults` also opens the default assistants of graphs, for runs.
--   3. Grants replace the rules of owners, organizations and administrators: act_as() leaves none of these in a
--      transaction with grants, so the older policies let no row through.
--   4. A run is reached through its thread.
alter table agenthall.runs add column auth jsonb;
comment on column agenthall.runs.auth is
  'the user that the project''s handler authenticated, for the graph; no answer of the API has it';

create function agenthall.act_as(p_identity text, p_organizations text, p_is_admin boolean, p_grants text)
returns boolean language plpgsql volatile as $$
begin
  perform set_config('agenthall.grants', coalesce(p_grants, ''), true),
          set_config('agenthall.identity', case when p_grants is null then p_identity else '' end, true),
          set_config('agenthall.organizations', case when p_grants is null then p_organizations else '{}' end, true),
          set_config('agenthall.admin', (p_grants is null and p_is_admin)::text, true);
  return true;
end $$;
comment on function agenthall.act_as(text, text, boolean, text) is
  'Set the principal of this transaction. With p_grants, which are JSON, only they decide.';

create function agenthall.current_grants() returns jsonb language sql stable as
$$ select nullif(current_setting('agenthall.grants', true), '')::jsonb $$;
comment on function agenthall.current_grants is 'Return the grants of this transaction; null outside such projects.';

create function agenthall.is_granted(
  p_conditions jsonb, p_metadata jsonb, p_owner_id text,
  p_is_shared boolean default false, p_is_default boolean default false
) returns boolean language sql immutable parallel safe as $$
  select p_conditions is not null and not exists (
    select from jsonb_array_elements(p_conditions) as each (condition)
     where not (p_is_default and each.condition ? 'defaults')
       and not coalesce(
             p_metadata @> coalesce(each.condition -> 'contains', '{}')
             and (not each.condition ? 'own' or p_is_shared or each.condition ->> 'own' = p_owner_id)
             and not exists (
               select from jsonb_each(coalesce(each.condition -> 'equals', '{}')) as wanted
                where (p_metadata -> wanted.key) is distinct from wanted.value), false))
$$;
comment on function agenthall.is_granted is
  'Return whether a row meets all conditions. p_is_shared: an assistant for everyone, which its own rule lets read.';

create function agenthall.granted_metadata(p_conditions jsonb) returns jsonb language sql immutable parallel safe as $$
  select coalesce((select each.condition -> 'contains' from jsonb_array_elements(p_conditions) as each (condition)
                    where not each.condition ? 'defaults' and each.condition -> 'contains' <> '{}' limit 1), '{}')
$$;
comment on function agenthall.granted_metadata is 'Return metadata that every granted row contains, for an index.';

create function agenthall.granted_owner(p_conditions jsonb) returns text language sql immutable parallel safe as $$
  select min(each.condition ->> 'own') from jsonb_array_elements(p_conditions) as each (condition)
$$;
comment on function agenthall.granted_owner is 'Return the owner that every granted row has, for an index, or null.';

create policy granted on agenthall.threads to agenthall_app
  using ((select agenthall.current_grants()) is not null
         and agenthall.is_granted((select agenthall.current_grants() -> 'threads'), metadata, owner_id))
  with check ((select agenthall.current_grants()) is not null
         and agenthall.is_granted(
           (select coalesce(agenthall.current_grants() -> 'new_threads', agenthall.current_grants() -> 'threads')),
           metadata, owner_id));

-- A scalar subquery, because PostgreSQL may answer an EXISTS with a hash of all threads.
create policy granted on agenthall.runs to agenthall_app
  using ((select agenthall.current_grants()) is not null
         and (select true from agenthall.threads t where t.thread_id = runs.thread_id))
  with check ((select agenthall.current_grants()) is not null
         and (select true from agenthall.threads t where t.thread_id = runs.thread_id));

-- Assistants for everyone are visible to everyone, so this policy must not speak beside grants.
alter policy select_visible on agenthall.assistants using ((select agenthall.current_grants()) is null and (
  (select agenthall.current_is_admin())
  or visibility = 'everyone'
  or (visibility = 'private' and owner_id = (select agenthall.current_identity())
      and (template_id is null or agenthall.is_current_member(organization_id)))
  or (visibility = 'organization' and (
       organization_id = any ((select agenthall.current_organizations())::uuid[])
       or (organization_id is not null and (select agenthall.current_has_every_organization()))))));

create policy select_granted on agenthall.assistants for select to agenthall_app using (
  (select agenthall.current_grants()) is not null
  and agenthall.is_granted((select agenthall.current_grants() -> 'assistants'), metadata, owner_id,
                           visibility = 'everyone', origin = 'graph'));
create policy insert_granted on agenthall.assistants for insert to agenthall_app with check (
  (select agenthall.current_grants()) is not null and origin = 'client' and visibility = 'private'
  and agenthall.is_granted((select agenthall.current_grants() -> 'assistants'), metadata, owner_id));
create policy update_granted on agenthall.assistants for update to agenthall_app using (
  (select agenthall.current_grants()) is not null
  and agenthall.is_granted((select agenthall.current_grants() -> 'assistants'), metadata, owner_id));
create policy delete_granted on agenthall.assistants for delete to agenthall_app using (
  (select agenthall.current_grants()) is not null and origin = 'client'
  and agenthall.is_granted((select agenthall.current_grants() -> 'assistants'), metadata, owner_id));

-- Runs ----------------------------------------------------------------------------------------------------------------
-- The functions take the grants. Those without stay for processes of the version before, which run during an upgrade.

create function agenthall.enqueue_run(
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
     set status = 'busy', updated_at = now(), metadata = t.metadata || v_names, config = p_thread_config
   where t.thread_id = p_thread_id;
  outcome := 'enqueued'; run := agenthall.run_json(v_run);
end $$;
comment on function agenthall.enqueue_run(
  text, text, boolean, text, jsonb, jsonb, uuid, uuid, text, boolean, uuid, uuid, integer, text, jsonb, jsonb, json,
  jsonb, text, boolean, interval, integer) is
  'Add a run to a thread''s queue. p_new_thread: reject (the thread must exist), create, or ephemeral. '
  'p_new_metadata: of a thread that is created. p_auth: the user for the graph. outcome: enqueued, busy (only with '
  'strategy reject), or thread_missing. With grants, the run belongs to the caller, also on the thread of another '
  'user.';

create function agenthall.cancel_run(
  p_identity text, p_organizations text, p_admin boolean, p_grants text, p_thread_id uuid, p_run_id uuid, p_action text
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
    update agenthall.runs r set cancel_action = p_action where r.run_id = p_run_id;
    return 'running';
  end if;
  return 'ended';
end $$;

create function agenthall.delete_run(
  p_identity text, p_organizations text, p_admin boolean, p_grants text, p_thread_id uuid, p_run_id uuid
) returns boolean language plpgsql as $$
declare
  v_run agenthall.runs;
begin
  perform agenthall.act_as(p_identity, p_organizations, p_admin, p_grants);
  perform from agenthall.threads t
   where t.thread_id = p_thread_id and (p_admin or p_grants is not null or t.owner_id = p_identity) for update;
  select * into v_run from agenthall.runs r
   where r.run_id = p_run_id and r.thread_id = p_thread_id
     and (p_admin or p_grants is not null or r.owner_id = p_identity) for update;
  if not found then
    return false;
  end if;
  if v_run.status in ('pending', 'running') then
    perform agenthall.end_run(v_run, 'interrupted', 'interrupted', null,
      '{"error": "UserInterrupt", "message": "interrupt"}', '{}', '{}', '{"status": "interrupted", "values": null}');
  end if;
  delete from agenthall.runs r where r.run_id = p_run_id;
  return true;
end $$;

-- Searches and counts ---------------------------------------------------------------------------------------------
-- Rules 3 and 4 of 0023: they use inverted indexes as agenthall_system, for the principal of the transaction only.

create or replace function agenthall.copy_checkpoints(p_from uuid, p_to uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_grants jsonb := agenthall.current_grants();
begin
  if not agenthall.current_is_admin() and exists (
    select from unnest(array[p_from, p_to]) as named (id)
     where not exists (
       select from agenthall.threads t
        where t.thread_id = named.id
          and case when v_grants is null then t.owner_id = agenthall.current_identity()
                   else agenthall.is_granted(v_grants -> 'threads', t.metadata, t.owner_id) end))
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

create function agenthall.threads_granted(p_conditions jsonb, p_parameter text) returns text
language sql immutable as $$
  select concat(
    case when agenthall.granted_metadata(p_conditions) <> '{}' then
      format(' and t.metadata @> agenthall.granted_metadata(%s)', p_parameter) end,
    case when agenthall.granted_owner(p_conditions) is not null then
      format(' and array[t.owner_id] @> array[agenthall.granted_owner(%s)]', p_parameter) end,
    format(' and agenthall.is_granted(%s, t.metadata, t.owner_id)', p_parameter))
$$;
comment on function agenthall.threads_granted is
  'Return the part of a WHERE for granted threads. p_parameter has the conditions. It contains no value.';

create or replace function agenthall.find_matching_threads(
  p_metadata jsonb, p_values jsonb, p_status text, p_limit bigint
) returns table (
  thread_id uuid, status text, created_at timestamptz, updated_at timestamptz, state_updated_at timestamptz
) language plpgsql security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off set random_page_cost = 1.1 as $$
declare
  v_grants jsonb := agenthall.current_grants();
  v_indexed_values jsonb := agenthall.indexed_values(p_values);
begin
  return query execute concat(
    'select t.thread_id, t.status, t.created_at, t.updated_at, t.state_updated_at
       from agenthall.threads t where not t.ephemeral',
    case when p_metadata is not null then ' and t.metadata @> $1' end,
    case when v_indexed_values <> '{}' then ' and agenthall.indexed_values(t."values") @> $2' end,
    case when p_values is not null then ' and t."values" @> $3' end,
    case when p_status is not null then ' and t.status = $4 and array[t.status] @> array[$4]' end,
    case when v_grants is not null then agenthall.threads_granted(v_grants -> 'threads', '$7')
         when not agenthall.current_is_admin() then ' and t.owner_id = $5 and array[t.owner_id] @> array[$5]' end,
    ' limit $6')
    using p_metadata, v_indexed_values, p_values, p_status, agenthall.current_identity(), p_limit,
      v_grants -> 'threads';
end $$;

create or replace function agenthall.count_matching_threads(p_metadata jsonb, p_values jsonb, p_status text)
returns bigint language plpgsql security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off set random_page_cost = 1.1 as $$
declare
  v_grants jsonb := agenthall.current_grants();
  v_indexed_values jsonb := agenthall.indexed_values(p_values);
  v_count bigint;
begin
  execute concat(
    'select count(*) from agenthall.threads t where not t.ephemeral',
    case when p_metadata is not null then ' and t.metadata @> $1' end,
    case when v_indexed_values <> '{}' then ' and agenthall.indexed_values(t."values") @> $2' end,
    case when p_values is not null then ' and t."values" @> $3' end,
    case when p_status is not null then ' and t.status = $4 and array[t.status] @> array[$4]' end,
    case when v_grants is not null then agenthall.threads_granted(v_grants -> 'threads', '$6')
         when not agenthall.current_is_admin() then ' and t.owner_id = $5 and array[t.owner_id] @> array[$5]' end)
    into v_count
    using p_metadata, v_indexed_values, p_values, p_status, agenthall.current_identity(), v_grants -> 'threads';
  return v_count;
end $$;

create function agenthall.assistants_granted(p_conditions jsonb) returns text language sql stable as $$
  select concat(
    case when agenthall.granted_metadata(p_conditions) <> '{}' then
      ' and a.metadata @> agenthall.granted_metadata(agenthall.current_grants() -> ''assistants'')' end,
    case when agenthall.granted_owner(p_conditions) is not null then
      ' and array[a.audience, a.visibility] && array[
          ''everyone'', ''private:'' || agenthall.granted_owner(agenthall.current_grants() -> ''assistants'')]' end,
    ' and agenthall.is_granted(agenthall.current_grants() -> ''assistants'', a.metadata, a.owner_id,
                               a.visibility = ''everyone'', a.origin = ''graph'')')
$$;
comment on function agenthall.assistants_granted is 'As threads_granted, for assistants.';

create or replace function agenthall.assistants_matching(p_metadata jsonb, p_graph_ids text[], p_name text) returns text
language sql stable as $$
  select concat(
    ' from agenthall.assistants a where a.retired_at is null',
    case when p_metadata is not null then ' and a.metadata @> $1' end,
    case when p_name <> '' then
      ' and agenthall.name_parts(a.name) @@ agenthall.name_parts_query($2)
        and strpos(lower(a.name), lower($2)) > 0' end,
    case when p_graph_ids is not null then ' and a.graph_id = any ($3) and array[a.graph_id] && $3' end,
    case when agenthall.current_grants() is not null then
      agenthall.assistants_granted(agenthall.current_grants() -> 'assistants')
    when not agenthall.current_is_admin() then
      ' and array[a.audience, a.visibility] && $4
        and (a.template_id is null or agenthall.is_current_member(a.organization_id))' end)
$$;

create function agenthall.walk_granted_threads(
  p_order text, p_descending boolean, p_metadata jsonb, p_values jsonb, p_status text, p_most bigint, p_last bigint
) returns table (thread_id uuid, is_cut boolean) language plpgsql security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off set random_page_cost = 1.1 as $$
declare
  v_direction text := case when p_descending then 'desc' else 'asc' end;
begin
  return query execute format(
    'select t.thread_id, t.place = $6
       from (select t.*, row_number() over () as place
               from (select t.* from agenthall.threads t where not t.ephemeral order by %1$s limit $6) t) t
      where agenthall.is_granted($5, t.metadata, t.owner_id) and ($1 is null or t.metadata @> $1)
        and ($2 is null or t."values" @> $2) and ($3 is null or t.status = $3)
         or t.place = $6
      limit $4',
    case when p_order = 'thread_id' then format('t.thread_id %s', v_direction)
         else format('t.%I %s, t.thread_id %s', p_order, v_direction, v_direction) end)
    using p_metadata, p_values, p_status, p_last, agenthall.current_grants() -> 'threads', p_most;
end $$;
comment on function agenthall.walk_granted_threads is
  'Walk the index of an order, at most p_most threads far, and return the first p_last that are granted and match. '
  'is_cut: the thread is the last one of the walk, and matches or not.';

create function agenthall.walk_granted_assistants(
  p_order text, p_descending boolean, p_metadata jsonb, p_graph_ids text[], p_name text, p_most bigint, p_last bigint
) returns table (assistant_id uuid, is_cut boolean) language plpgsql security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off set random_page_cost = 1.1 as $$
declare
  v_direction text := case when p_descending then 'desc' else 'asc' end;
begin
  return query execute format(
    'select a.assistant_id, a.place = $6
       from (select a.*, row_number() over () as place
               from (select a.* from agenthall.assistants a where a.retired_at is null order by %1$s limit $6) a) a
      where agenthall.is_granted($5, a.metadata, a.owner_id, a.visibility = ''everyone'', a.origin = ''graph'')
        and ($1 is null or a.metadata @> $1) and ($2 is null or a.graph_id = any ($2))
        and ($3 is null or strpos(lower(a.name), lower($3)) > 0)
         or a.place = $6
      limit $4',
    case p_order when 'assistant_id' then format('a.assistant_id %s', v_direction)
                 when 'name' then format('"left"(a.name, 255) %s, a.assistant_id %s', v_direction, v_direction)
                 else format('a.%I %s, a.assistant_id %s', p_order, v_direction, v_direction) end)
    using p_metadata, p_graph_ids, p_name, p_last, agenthall.current_grants() -> 'assistants', p_most;
end $$;
comment on function agenthall.walk_granted_assistants is 'As walk_granted_threads, for assistants.';

revoke execute on function agenthall.walk_granted_threads, agenthall.walk_granted_assistants from public;
grant execute on function agenthall.walk_granted_threads, agenthall.walk_granted_assistants to agenthall_app;
grant create on schema agenthall to agenthall_system;
alter function agenthall.walk_granted_threads owner to agenthall_system;
alter function agenthall.walk_granted_assistants owner to agenthall_system;
revoke create on schema agenthall from agenthall_system;
