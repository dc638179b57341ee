-- Count assistants as they are searched: by the inverted index, for the principal of the transaction only. Functions of
-- 0023 and the count share their conditions.
--
-- A count reads what it counts. So it runs as agenthall_system, which can count in an index alone, where the policies
-- would read each row.

create function agenthall.current_audiences() returns text[] language sql stable as $$
  select array['everyone', 'private:' || agenthall.current_identity()]
    || array(
      select 'organization:' || member.id::text from unnest(agenthall.current_organizations()) as member (id))
    || case when agenthall.current_has_every_organization() then array['organization'] else '{}' end
$$;
comment on function agenthall.current_audiences is
  'Return the audiences and kinds of visibility that the principal of this transaction belongs to.';

create function agenthall.assistants_matching(p_metadata jsonb, p_graph_ids text[], p_name text) returns text
language sql stable as $$
  select concat(
    ' from agenthall.assistants a where a.retired_at is null',
    case when p_metadata is not null then ' and a.metadata @> $1' end,
    case when p_name <> '' then
      ' and agenthall.name_parts(a.name) @@ agenthall.name_parts_query($2)
        and strpos(lower(a.name), lower($2)) > 0' end,
    case when p_graph_ids is not null then ' and a.graph_id = any ($3) and array[a.graph_id] && $3' end,
    case when not agenthall.current_is_admin() then
      ' and array[a.audience, a.visibility] && $4
        and (a.template_id is null or agenthall.is_current_member(a.organization_id))' end)
$$;
comment on function agenthall.assistants_matching is
  'Return the FROM and WHERE for assistants that the principal sees and that match. $1 to $3 are the arguments, $4 the
audiences. It contains no value.';

drop function agenthall.find_matching_assistants;
create function agenthall.find_matching_assistants(
  p_metadata jsonb, p_graph_ids text[], p_name text, p_limit bigint
) returns table (
  assistant_id uuid, graph_id text, name text, created_at timestamptz, updated_at timestamptz
) language plpgsql security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off set random_page_cost = 1.1 as $$
begin
  return query execute concat(
    'select a.assistant_id, a.graph_id, a.name, a.created_at, a.updated_at',
    agenthall.assistants_matching(p_metadata, p_graph_ids, p_name), ' limit $5')
    using p_metadata, p_name, p_graph_ids, agenthall.current_audiences(), p_limit;
end $$;
comment on function agenthall.find_matching_assistants is
  'Find up to p_limit assistants that the principal sees and that match, by an inverted index. A null is no filter.';

create function agenthall.count_matching_assistants(p_metadata jsonb, p_graph_ids text[], p_name text) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off set random_page_cost = 1.1 as $$
declare
  v_count bigint;
begin
  execute 'select count(*)' || agenthall.assistants_matching(p_metadata, p_graph_ids, p_name)
    into v_count using p_metadata, p_name, p_graph_ids, agenthall.current_audiences();
  return v_count;
end $$;
comment on function agenthall.count_matching_assistants is
  'Count the assistants that the principal sees and that match. A null is no filter.';

revoke execute on function agenthall.find_matching_assistants, agenthall.count_matching_assistants from public;
grant execute on function agenthall.find_matching_assistants, agenthall.count_matching_assistants to agenthall_app;
grant create on schema agenthall to agenthall_system;
alter function agenthall.find_matching_assistants owner to agenthall_system;
alter function agenthall.count_matching_assistants owner to agenthall_system;
revoke create on schema agenthall from agenthall_system;
