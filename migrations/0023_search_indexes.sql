-- Let searches of assistants and threads read what they return, not what is stored.
--
-- Rules
--   1. Each sort order has an index for administrators, and one for the rows of one owner or audience. A search walks
--      it and stops when the page is full.
--   2. One inverted index holds all that can be filtered by. It finds values that are too rare for the walk.
--   3. Row-level security keeps PostgreSQL from using an inverted index: its operators are not leakproof, so they are
--      evaluated after the policies. The functions below use it as agenthall_system, for the principal of the
--      transaction only. They return keys. The statement that calls them reads the rows, under the policies.
--   4. An inverted index keeps at most 64 kB of unsorted entries (gin_pending_list_limit), which each search reads.

-- Threads -------------------------------------------------------------------------------------------------------------

-- Values of a conversation may be long and change with each run, so only scalars of the first level are indexed.
create function agenthall.indexed_values(p_values jsonb) returns jsonb language sql immutable parallel safe as $$
  select coalesce(jsonb_object_agg(member.key, member.value), '{}')
    from jsonb_each(case jsonb_typeof(p_values) when 'object' then p_values else '{}' end) as member
   where jsonb_typeof(member.value) not in ('object', 'array') and octet_length(member.value::text) <= 256
$$;
comment on function agenthall.indexed_values is
  'Return the members of a thread''s values that searches find by an index: scalars of at most 256 bytes.';

drop index agenthall.threads_owner;
drop index agenthall.threads_updated;
drop index agenthall.threads_metadata;
create index threads_of_owner on agenthall.threads (owner_id, thread_id) where not ephemeral;
create index threads_of_owner_by_status on agenthall.threads (owner_id, status, thread_id) where not ephemeral;
create index threads_of_owner_by_created_at on agenthall.threads (owner_id, created_at, thread_id) where not ephemeral;
create index threads_of_owner_by_updated_at on agenthall.threads (owner_id, updated_at, thread_id) where not ephemeral;
create index threads_of_owner_by_state_updated_at on agenthall.threads (owner_id, state_updated_at, thread_id)
  where not ephemeral;
create index threads_by_id on agenthall.threads (thread_id) where not ephemeral;
create index threads_by_status on agenthall.threads (status, thread_id) where not ephemeral;
create index threads_by_created_at on agenthall.threads (created_at, thread_id) where not ephemeral;
create index threads_by_updated_at on agenthall.threads (updated_at, thread_id) where not ephemeral;
create index threads_by_state_updated_at on agenthall.threads (state_updated_at, thread_id) where not ephemeral;
create index threads_filters on agenthall.threads
  using gin (metadata jsonb_path_ops, agenthall.indexed_values("values") jsonb_path_ops, (array[status]),
             (array[owner_id]))
  with (gin_pending_list_limit = 64) where not ephemeral;

create function agenthall.find_matching_threads(
  p_metadata jsonb, p_values jsonb, p_status text, p_limit bigint
) returns table (
  thread_id uuid, status text, created_at timestamptz, updated_at timestamptz, state_updated_at timestamptz
) language plpgsql security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off set random_page_cost = 1.1 as $$
declare
  v_indexed_values jsonb := agenthall.indexed_values(p_values);
begin
  return query execute concat(
    'select t.thread_id, t.status, t.created_at, t.updated_at, t.state_updated_at
       from agenthall.threads t where not t.ephemeral',
    case when p_metadata is not null then ' and t.metadata @> $1' end,
    case when v_indexed_values <> '{}' then ' and agenthall.indexed_values(t."values") @> $2' end,
    case when p_values is not null then ' and t."values" @> $3' end,
    case when p_status is not null then ' and t.status = $4 and array[t.status] @> array[$4]' end,
    case when not agenthall.current_is_admin() then ' and t.owner_id = $5 and array[t.owner_id] @> array[$5]' end,
    ' limit $6')
    using p_metadata, v_indexed_values, p_values, p_status, agenthall.current_identity(), p_limit;
end $$;
comment on function agenthall.find_matching_threads is
  'Find up to p_limit threads of the principal that match, by an inverted index. A null is no filter.';

-- Assistants ----------------------------------------------------------------------------------------------------------

alter table agenthall.assistants add column audience text generated always as (
  case visibility when 'private' then 'private:' || owner_id
                  when 'organization' then 'organization:' || organization_id::text
                  else visibility end) stored;
comment on column agenthall.assistants.audience is
  'the principals that may see the assistant: everyone, private:<identity> or organization:<id>';

-- A name is found by a part of it. Each three characters are a lexeme, and at the end the last two and the last one, so
-- that a prefix finds shorter parts.
create function agenthall.name_parts(p_name text) returns tsvector language sql immutable parallel safe as $$
  select array_to_tsvector(array(
    select substr(lower(p_name), place, 3) from generate_series(1, least(length(lower(p_name)), 1000)) as place))
$$;
comment on function agenthall.name_parts is 'Return the parts of a name, for a search by a part of it.';

create function agenthall.name_parts_query(p_part text) returns tsquery language sql immutable parallel safe as $$
  select string_agg(
           '''' || replace(replace(piece.text, '\', '\\'), '''', '''''') || ''''
           || case when length(piece.text) < 3 then ':*' else '' end, ' & ')::tsquery
    from (select distinct substr(lower(p_part), place, 3) as text
            from generate_series(1, greatest(1, least(length(lower(p_part)), 100) - 2)) as place) as piece
$$;
comment on function agenthall.name_parts_query is 'Return the query for names that contain a text.';

drop index agenthall.assistants_organization;
drop index agenthall.assistants_owner;
drop index agenthall.assistants_created;
drop index agenthall.assistants_metadata;
create index assistants_of_audience on agenthall.assistants (audience, assistant_id) where retired_at is null;
create index assistants_of_audience_by_created_at on agenthall.assistants (audience, created_at, assistant_id)
  where retired_at is null;
create index assistants_of_audience_by_updated_at on agenthall.assistants (audience, updated_at, assistant_id)
  where retired_at is null;
create index assistants_of_audience_by_graph_id on agenthall.assistants (audience, graph_id, assistant_id)
  where retired_at is null;
-- An index entry has at most 2,700 bytes, and a name has no limit.
create index assistants_of_audience_by_name on agenthall.assistants (audience, "left"(name, 255), assistant_id)
  where retired_at is null;
create index assistants_by_id on agenthall.assistants (assistant_id) where retired_at is null;
create index assistants_by_created_at on agenthall.assistants (created_at, assistant_id) where retired_at is null;
create index assistants_by_updated_at on agenthall.assistants (updated_at, assistant_id) where retired_at is null;
create index assistants_by_graph_id on agenthall.assistants (graph_id, assistant_id) where retired_at is null;
create index assistants_by_name on agenthall.assistants ("left"(name, 255), assistant_id) where retired_at is null;
create index assistants_filters on agenthall.assistants
  using gin (metadata jsonb_path_ops, agenthall.name_parts(name), (array[graph_id]), (array[audience, visibility]))
  with (gin_pending_list_limit = 64) where retired_at is null;

create function agenthall.find_matching_assistants(
  p_metadata jsonb, p_graph_ids text[], p_name text, p_limit bigint
) returns table (
  assistant_id uuid, graph_id text, name text, created_at timestamptz, updated_at timestamptz
) language plpgsql security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off set random_page_cost = 1.1 as $$
declare
  v_audiences text[] := array['everyone', 'private:' || agenthall.current_identity()] || array(
    select 'organization:' || member.id::text from unnest(agenthall.current_organizations()) as member (id))
    || case when agenthall.current_has_every_organization() then array['organization'] else '{}' end;
begin
  return query execute concat(
    'select a.assistant_id, a.graph_id, a.name, a.created_at, a.updated_at
       from agenthall.assistants a where a.retired_at is null',
    case when p_metadata is not null then ' and a.metadata @> $1' end,
    case when p_name <> '' then
      ' and agenthall.name_parts(a.name) @@ agenthall.name_parts_query($2)
        and strpos(lower(a.name), lower($2)) > 0' end,
    case when p_graph_ids is not null then ' and a.graph_id = any ($3) and array[a.graph_id] && $3' end,
    case when not agenthall.current_is_admin() then
      ' and array[a.audience, a.visibility] && $4
        and (a.template_id is null or agenthall.is_current_member(a.organization_id))' end,
    ' limit $5')
    using p_metadata, p_name, p_graph_ids, v_audiences, p_limit;
end $$;
comment on function agenthall.find_matching_assistants is
  'Find up to p_limit assistants that the principal sees and that match, by an inverted index. A null is no filter.';

revoke execute on function agenthall.find_matching_threads, agenthall.find_matching_assistants from public;
grant execute on function agenthall.find_matching_threads, agenthall.find_matching_assistants to agenthall_app;
grant create on schema agenthall to agenthall_system;
alter function agenthall.find_matching_threads owner to agenthall_system;
alter function agenthall.find_matching_assistants owner to agenthall_system;
revoke create on schema agenthall from agenthall_system;

-- Runs, keys and results of agent sync -----------------------------------------------------------------------------

create index runs_of_thread_by_status on agenthall.runs (thread_id, status, run_id desc);
create index api_keys_by_created_at on agenthall.api_keys (created_at desc, prefix);
alter index agenthall.api_keys_organizations set (fastupdate = off);
create index agent_sync_failures on agenthall.agent_sync (agent_id, source) where failure is not null;
create index agent_sync_pending_write_backs on agenthall.agent_sync (agent_id)
  where write_back_pending and last_action <> 'missing';
drop index agenthall.agent_sync_problems;
