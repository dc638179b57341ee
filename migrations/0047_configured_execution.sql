-- Let a configuration say where its agent runs, and how work is given to its instances.
--
-- Rules
--   1. `execution` null is the default, which follows from the other columns: an agent without a model and a prompt
--      runs in its instances. Only mcp.effective_execution() decides.
--   2. `jobs` holds the options that were given. mcp.job_options() adds the defaults of the others.
--   3. An enabled configuration whose agent runs in instances has an assistant of origin `instances`, with the id of
--      the configuration. The transaction that writes the configuration writes it. A registration that finds its
--      configuration writes neither.
--   4. An agent that moves between its instances and this server keeps its assistant, with versions and threads: the
--      origin changes between `instances` and `configuration`, which agent sync owns. No other origin changes.
--   5. An assistant with the id of a configuration and another origin stays as it is. `agenthall doctor` reports it.
--   6. The state schema of a manifest is in the config of each assistant of the agent. A change of it makes a version
--      of each, in one transaction. Locks are taken in the order manifest, assistant.
--   7. A caller may name an assistant by its agent_id. The name of a graph comes first, so no new agent has one.

create function mcp.is_version_range(range text) returns boolean language plpgsql immutable parallel safe as $$
declare
  v_comparator text;
  v_count      integer := 0;
begin
  if char_length(range) not between 1 and 255 then
    return false;
  end if;
  foreach v_comparator in array string_to_array(range, ',') loop
    v_count := v_count + 1;
    if v_count > 16 or mcp.version_key(substring(btrim(v_comparator) from '^(?:>=|<=|==|>|<|=)?\s*([vV]?[0-9].*)$'))
       is null then
      return false;
    end if;
  end loop;
  return true;
end $$;
comment on function mcp.is_version_range is
  'Return whether the text is a range of versions: 1 to 16 comparators such as >=1.2,<2, joined by commas.';

create function mcp.is_number_between(value jsonb, lowest numeric, highest numeric) returns boolean
language plpgsql immutable parallel safe as $$
begin
  return jsonb_typeof(value) = 'number' and value::numeric = trunc(value::numeric)
     and value::numeric between lowest and highest;
end $$;
comment on function mcp.is_number_between is 'Return whether a JSON value is a whole number within these limits.';

create function mcp.is_json_string_list(value jsonb) returns boolean language plpgsql immutable parallel safe as $$
begin
  return jsonb_typeof(value) = 'array' and jsonb_array_length(value) <= 64
     and not exists (select from jsonb_array_elements(value) as word where jsonb_typeof(word) <> 'string')
     and mcp.is_string_list(array(select jsonb_array_elements_text(value)));
end $$;
comment on function mcp.is_json_string_list is
  'Return whether a JSON value is a list of at most 64 strings of 1 to 128 characters.';

create function mcp.is_job_option(name text, value jsonb) returns boolean
language plpgsql immutable parallel safe as $$
begin
  return coalesce(case name
    when 'retry' then value in ('"never"', '"if_silent"', '"always"')
    when 'max_attempts' then mcp.is_number_between(value, 1, 100)
    when 'schedule_to_start_seconds' then value = 'null' or mcp.is_number_between(value, 0, 2592000)
    when 'run_within_seconds' then value = 'null' or mcp.is_number_between(value, 1, 2592000)
    when 'required_capabilities' then mcp.is_json_string_list(value)
    when 'required_tags' then mcp.is_json_string_list(value)
    when 'version' then value = 'null' or jsonb_typeof(value) = 'string' and mcp.is_version_range(value #>> '{}')
    when 'zone' then value = 'null'
                     or jsonb_typeof(value) = 'string' and char_length(value #>> '{}') between 1 and 128
  end, false);
end $$;
comment on function mcp.is_job_option is
  'Return whether this is a member of agent_configurations.jobs, with its value.';

create function mcp.is_job_options(jobs jsonb) returns boolean language plpgsql immutable parallel safe as $$
begin
  return jsonb_typeof(jobs) = 'object'
     and not exists (select from jsonb_each(jobs) as option where not mcp.is_job_option(option.key, option.value));
end $$;
comment on function mcp.is_job_options is
  'Return whether a JSON value is an object whose members are options of jobs, with values that they can have.';

create function mcp.job_options(jobs jsonb default '{}') returns jsonb language sql immutable parallel safe as $$
  select '{"retry": "if_silent", "max_attempts": 3, "schedule_to_start_seconds": 60, "run_within_seconds": null,
           "required_capabilities": [], "required_tags": [], "version": null, "zone": null}'::jsonb || jobs
$$;
comment on function mcp.job_options is
  'Return the options of jobs with the defaults of those that are not given. retry is never, if_silent (nothing was '
  'streamed yet) or always. A job waits schedule_to_start_seconds for an instance: 0 fails at once, null waits without '
  'a limit. run_within_seconds is null without a limit. version is a range such as >=1.2,<2.';

alter table mcp.agent_configurations
  add column execution text,
  add column jobs jsonb not null default '{}',
  add constraint agent_configurations_execution check (execution in ('instances', 'here')),
  add constraint agent_configurations_jobs check (mcp.is_job_options(jobs));
comment on column mcp.agent_configurations.execution is
  'instances: its instances do the work. here: this server runs it. null: instances without a model and a prompt, else '
  'here; see mcp.effective_execution().';
comment on column mcp.agent_configurations.jobs is
  'options for work that is given to instances; mcp.job_options(jobs) has all of them, with their defaults';

create function mcp.effective_execution(execution text, model_id text, system_prompt text) returns text
language sql immutable parallel safe as $$
  select coalesce(execution, case when model_id is null and system_prompt is null then 'instances' else 'here' end)
$$;
comment on function mcp.effective_execution is
  'Return where the agent of a configuration runs: instances or here.';

-- State ---------------------------------------------------------------------------------------------------------------

create function mcp.is_state_schema(schema jsonb) returns boolean language plpgsql immutable parallel safe as $$
begin
  if mcp.is_object(schema) is not true or jsonb_typeof(coalesce(schema -> 'properties', '{}')) <> 'object' then
    return false;
  end if;
  return coalesce(schema -> 'type' = '"object"', false)
     and not exists (
       select from jsonb_object_keys(schema) as member
        where member not in ('type', 'properties', 'title', 'description', '$schema', '$comment'))
     and (select count(*) <= 256
                 and coalesce(bool_and(
                   property.key ~ '^[A-Za-z][A-Za-z0-9_]{0,127}$' and property.key not in ('messages', 'model_config')
                   and property.key not like 'agenthall\_%' and jsonb_typeof(property.value) = 'object'), true)
            from jsonb_each(coalesce(schema -> 'properties', '{}')) as property)
     and not jsonb_path_exists(schema, '$.**."$ref"');
end $$;
comment on function mcp.is_state_schema is
  'Return whether this is a JSON Schema for the state of an agent: of type object, at most 64 KiB, with at most 256 '
  'properties, without references. `messages` is reserved.';

alter table mcp.agent_manifests
  add column state_schema jsonb,
  add constraint agent_manifests_state_schema check (state_schema is null or mcp.is_state_schema(state_schema));
comment on column mcp.agent_manifests.state_schema is
  'JSON Schema of the properties that the state of the agent has beside its messages; null: none. All organizations '
  'that have the agent see it.';

-- Assistants ----------------------------------------------------------------------------------------------------------

alter table agenthall.assistants
  drop constraint assistants_origin,
  add constraint assistants_origin check (origin in ('client', 'graph', 'catalogue', 'configuration', 'instances'));
comment on column agenthall.assistants.origin is
  'creator of the assistant: a client, a graph (its default assistant), agent sync, from the catalogue or from a '
  'configuration of the registry, or a configuration whose agent runs in instances. It never changes, except between '
  'the last two.';

drop trigger keep_origin on agenthall.assistants;
create trigger keep_origin before update on agenthall.assistants
  for each row when (
    old.origin <> new.origin
    and not (old.origin in ('configuration', 'instances') and new.origin in ('configuration', 'instances')))
  execute function agenthall.refuse_other_origin();

create function agenthall.next_version(a agenthall.assistants) returns integer language sql stable as $$
  select greatest(a.version, (
    select max(v.version) from agenthall.assistant_versions v where v.assistant_id = a.assistant_id)) + 1
$$;
comment on function agenthall.next_version is
  'Return the next version of an assistant, which may have been set back, or raised after the statement began.';

create function agenthall.without_own_keys(p_config jsonb) returns jsonb language sql immutable parallel safe as $$
  select p_config || jsonb_build_object('configurable', coalesce((
    select jsonb_object_agg(member.key, member.value)
      from jsonb_each(case jsonb_typeof(p_config -> 'configurable') when 'object' then p_config -> 'configurable'
                           else '{}' end) as member
     where member.key not like 'agenthall\_%'), '{}'))
$$;
comment on function agenthall.without_own_keys is
  'Return the config of an assistant without the members of configurable that only the server sets.';

create function agenthall.instances_config(c mcp.agent_configurations, p_schema jsonb, p_config jsonb) returns jsonb
language sql stable as $$
  select kept.config || jsonb_build_object('configurable', kept.config -> 'configurable' || jsonb_build_object(
           'agenthall_agent_id', c.agent_id, 'agenthall_organization_id', c.tenant_id,
           'agenthall_jobs', mcp.job_options(c.jobs))
         || case when p_schema is null then '{}' else jsonb_build_object('agenthall_state_schema', p_schema) end)
    from (select agenthall.without_own_keys(p_config) as config offset 0) as kept
$$;
comment on function agenthall.instances_config is
  'Return the config of the assistant of a configuration: p_config with what the graph needs to give jobs. p_schema: '
  'the state schema of the agent, or null.';

-- An id that another assistant has is left to it. So is one of an assistant that another organization left behind.
create function agenthall.serve_instances(c mcp.agent_configurations, p_may_move boolean) returns void
language plpgsql as $$
declare
  -- Locked, so that a change of the schema finds this assistant, or this reads the changed schema.
  v_schema jsonb := (select m.state_schema from mcp.agent_manifests m where m.id = c.manifest_id for share);
begin
  insert into agenthall.assistants as a (
    assistant_id, graph_id, name, config, metadata,
    owner_id, organization_id, visibility, origin)
  values (
    c.id, 'instances', c.name, agenthall.instances_config(c, v_schema, '{}'),
    jsonb_build_object(
      'agent_source', 'configuration', 'agent_id', c.agent_id, 'supabase_organization_id', c.tenant_id),
    'system', c.tenant_id, 'organization', 'instances')
  on conflict (assistant_id) do update
    set (version, graph_id, name, description, config, context, metadata,
         organization_id, origin, catalogue_hash, retired_at, updated_at) = (
          select case when (a.graph_id, a.name, a.config, a.context, a.metadata) = (
                        excluded.graph_id, excluded.name, merged.config, merged.context, merged.metadata)
                       and a.description is null then a.version else agenthall.next_version(a) end,
                 excluded.graph_id, excluded.name, null::text, merged.config, merged.context, merged.metadata,
                 excluded.organization_id, excluded.origin, null::text, null::timestamptz, clock_timestamp()
            from (select agenthall.instances_config(
                           c, v_schema, case when kept.is_same then a.config else '{}' end) as config,
                         case when kept.is_same then a.context else '{}' end as context,
                         case when kept.in_organization then a.metadata - 'synced_at' else '{}' end || excluded.metadata
                           as metadata
                    from (select a.organization_id = c.tenant_id as in_organization,
                                 a.organization_id = c.tenant_id and a.origin = 'instances' as is_same) as kept
                ) as merged)
    where a.origin in ('configuration', 'instances') and (p_may_move or a.organization_id = c.tenant_id);
end $$;
comment on function agenthall.serve_instances is
  'Create the assistant of a configuration whose agent runs in instances, or bring it into line. It keeps additions of '
  'members of its organization. p_may_move: also an assistant of another organization.';

create function agenthall.retire_instances(p_assistant_id uuid, p_runs_here boolean) returns void
language plpgsql as $$
begin
  update agenthall.assistants a
     set version = case when p_runs_here then agenthall.next_version(a) else a.version end,
         config = case when p_runs_here then agenthall.without_own_keys(a.config) else a.config end,
         origin = case when p_runs_here then 'configuration' else a.origin end,
         catalogue_hash = case when p_runs_here then '' end,
         retired_at = coalesce(a.retired_at, clock_timestamp()), updated_at = clock_timestamp()
   where a.assistant_id = p_assistant_id and a.origin = 'instances' and (p_runs_here or a.retired_at is null);
end $$;
comment on function agenthall.retire_instances is
  'Take the assistant of a configuration out of service. p_runs_here: agent sync owns it from now on.';

create function agenthall.follow_configuration() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if tg_op = 'DELETE' then
    perform agenthall.retire_instances(old.id, false);
  elsif mcp.effective_execution(new.execution, new.model_id, new.system_prompt) = 'here' then
    perform agenthall.retire_instances(new.id, true);
  elsif new.enabled then
    perform agenthall.serve_instances(new, tg_op = 'UPDATE');
  else
    perform agenthall.retire_instances(new.id, false);
  end if;
  return null;
end $$;
comment on function agenthall.follow_configuration is
  'Keep the assistant of a configuration in line with it (trigger).';

create function agenthall.follow_truncation() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform agenthall.retire_instances(a.assistant_id, false) from agenthall.assistants a where a.origin = 'instances';
  return null;
end $$;
comment on function agenthall.follow_truncation is 'Retire the assistants of all configurations (trigger).';

revoke execute on function agenthall.follow_configuration, agenthall.follow_truncation from public;
grant create on schema agenthall to agenthall_system;
alter function agenthall.follow_configuration owner to agenthall_system;
alter function agenthall.follow_truncation owner to agenthall_system;
revoke create on schema agenthall from agenthall_system;

create trigger follow_inserted after insert on mcp.agent_configurations for each row
  when (new.enabled and mcp.effective_execution(new.execution, new.model_id, new.system_prompt) = 'instances')
  execute function agenthall.follow_configuration();
create trigger follow_updated after update on mcp.agent_configurations for each row
  when ((old.tenant_id, old.name, old.enabled, old.jobs,
         mcp.effective_execution(old.execution, old.model_id, old.system_prompt)) is distinct from
        (new.tenant_id, new.name, new.enabled, new.jobs,
         mcp.effective_execution(new.execution, new.model_id, new.system_prompt)))
  execute function agenthall.follow_configuration();
create trigger follow_deleted after delete on mcp.agent_configurations for each row
  execute function agenthall.follow_configuration();
create trigger follow_truncated after truncate on mcp.agent_configurations
  for each statement execute function agenthall.follow_truncation();

create function mcp.follow_state_schema() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform agenthall.serve_instances(c, false) from (
    select c.* from mcp.agent_configurations c
     where c.manifest_id = new.id and c.enabled
       and mcp.effective_execution(c.execution, c.model_id, c.system_prompt) = 'instances'
     order by c.id) as c;
  return null;
end $$;
comment on function mcp.follow_state_schema is
  'Give the assistants of an agent another state schema, in all organizations (trigger).';
revoke execute on function mcp.follow_state_schema from public;
grant create on schema mcp to agenthall_system;
alter function mcp.follow_state_schema owner to agenthall_system;
revoke create on schema mcp from agenthall_system;
create trigger follow_state_schema after update on mcp.agent_manifests for each row
  when (new.state_schema is distinct from old.state_schema) execute function mcp.follow_state_schema();

-- Row-level security hides the rows from their owner.
set local role agenthall_system;
select agenthall.serve_instances(c, false) from mcp.agent_configurations c
 where c.enabled and mcp.effective_execution(c.execution, c.model_id, c.system_prompt) = 'instances'
 order by c.id;
reset role;

-- Agent sync ----------------------------------------------------------------------------------------------------------
-- It leaves out agents that run in instances. One that runs here by choice needs neither a model nor a prompt.

create or replace view agenthall.configured_agents with (security_invoker = true) as
select c.id as agent_id, c.tenant_id as organization_id, c.name::text as name, c.agent_id as registry_id,
       c.system_prompt,
       jsonb_strip_nulls(
         jsonb_build_object('temperature', c.temperature, 'max_tokens', c.max_tokens)) as sampling_params,
       c.model_id as runtime_model_name, null::jsonb as mcp_tools, c.updated_at, 'agent'::text as graph_id,
       c.id::text as langgraph_assistant_id, -- so that nothing is written back
       null::text as description, null::boolean as is_global, null::uuid[] as assistant_tool_ids,
       null::text as engine_type, null::boolean as engine_found
  from mcp.agent_configurations c
 where c.enabled and mcp.effective_execution(c.execution, c.model_id, c.system_prompt) = 'here';

create or replace function agenthall.configurations_inserted() returns trigger language plpgsql as $$
begin
  perform agenthall.notify_configurations(array(
    select n.id from new_rows n
     where n.enabled and mcp.effective_execution(n.execution, n.model_id, n.system_prompt) = 'here'));
  return null;
end $$;
create or replace function agenthall.configurations_deleted() returns trigger language plpgsql as $$
begin
  perform agenthall.notify_configurations(array(
    select o.id from old_rows o
     where o.enabled and mcp.effective_execution(o.execution, o.model_id, o.system_prompt) = 'here'));
  return null;
end $$;
create or replace function agenthall.configurations_updated() returns trigger language plpgsql as $$
begin
  perform agenthall.notify_configurations(array(
    select coalesce(n.id, o.id) from old_rows o full join new_rows n on n.id = o.id
     where (o.tenant_id, o.name, o.model_id, o.temperature, o.max_tokens, o.system_prompt, o.enabled, o.execution)
           is distinct from
           (n.tenant_id, n.name, n.model_id, n.temperature, n.max_tokens, n.system_prompt, n.enabled, n.execution)));
  return null;
end $$;

-- Names ---------------------------------------------------------------------------------------------------------------

create function agenthall.is_graph_id(p_name text) returns boolean language sql stable as $$
  select p_name = 'instances' or exists (
    select from agenthall.assistants a where a.origin = 'graph' and a.graph_id = p_name and a.retired_at is null)
$$;
comment on function agenthall.is_graph_id is 'Return whether a graph that is served, or the built-in one, has this id.';

-- SECURITY DEFINER, because a caller of schema mcp may not see assistants.
create function mcp.refuse_graph_id() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if agenthall.is_graph_id(new.agent_id) then
    raise exception 'agent_id "%" is the name of a graph of the server; choose another', new.agent_id
      using errcode = '22023', column = 'agent_id';
  end if;
  return null;
end $$;
comment on function mcp.refuse_graph_id is
  'Fail with 22023 for an agent with the name of a graph: a run that names it would run the graph (trigger).';
revoke execute on function mcp.refuse_graph_id from public;
grant create on schema mcp to agenthall_system;
alter function mcp.refuse_graph_id owner to agenthall_system;
revoke create on schema mcp from agenthall_system;
create trigger refuse_graph_id after insert on mcp.agent_manifests for each row
  execute function mcp.refuse_graph_id();
create trigger refuse_graph_id after insert on mcp.agent_configurations for each row
  execute function mcp.refuse_graph_id();

-- Reads a bounded number of configurations, whatever the name and however many organizations have it.
create function agenthall.find_agents(p_agent_id text, p_organization_id uuid)
returns table (assistant_id uuid, is_enabled boolean) language plpgsql security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off as $$
begin
  if p_organization_id is not null then
    return query
      select c.id, c.enabled from mcp.agent_configurations c
       where c.tenant_id = p_organization_id and c.agent_id = p_agent_id
         and (agenthall.current_is_admin() or agenthall.is_current_member(p_organization_id));
  elsif agenthall.current_has_every_organization()
     or agenthall.current_is_admin() and cardinality(agenthall.current_organizations()) = 0 then
    return query
      select c.id, c.enabled from mcp.agent_manifests m
        join mcp.agent_configurations c on c.manifest_id = m.id
       where m.agent_id = p_agent_id and c.enabled limit 2;
    if not found then
      return query
        select c.id, c.enabled from mcp.agent_manifests m
          join mcp.agent_configurations c on c.manifest_id = m.id
         where m.agent_id = p_agent_id limit 1;
    end if;
  else
    return query
      select c.id, c.enabled from unnest(agenthall.current_organizations()) as o (id)
       cross join lateral (
         select own.id, own.enabled from mcp.agent_configurations own
          where own.tenant_id = o.id and own.agent_id = p_agent_id offset 0) as c
       order by c.enabled desc limit 2;
  end if;
end $$;
comment on function agenthall.find_agents is
  'Find up to two configurations of an agent in the organizations of the principal, or in one of them. A disabled one '
  'is found if no other is.';
revoke execute on function agenthall.find_agents from public;
grant execute on function agenthall.find_agents to agenthall_app;
grant create on schema agenthall to agenthall_system;
alter function agenthall.find_agents owner to agenthall_system;
revoke create on schema agenthall from agenthall_system;
