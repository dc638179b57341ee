-- Let agents come from two sources: the catalogue of a product, and the configurations of the registry. A source never
-- changes or retires an agent of the other source. Of two readings of one agent the later reading applies, in whatever
-- order they are written.
alter table agenthall.assistants add column agent_source text not null default 'catalogue';
comment on column agenthall.assistants.agent_source is
  'source of the agent of an assistant that agent sync created (catalogue_hash is not null); meaningless for other '
  'assistants';
create index assistants_configured on agenthall.assistants (assistant_id) where agent_source = 'configuration';

alter table agenthall.agent_sync add column source text not null default 'catalogue', add column read_at timestamptz;
alter table agenthall.agent_sync drop constraint agent_sync_pkey, add primary key (agent_id, source);
alter table agenthall.agent_sync add constraint agent_sync_source check (source in ('catalogue', 'configuration'));
comment on column agenthall.agent_sync.read_at is
  'when the reading that was applied last began, on the clock of the source''s database; earlier readings are not '
  'applied';

-- Show configurations in the form of the catalogue's contract (docs/reference/catalogue.md). A configuration with
-- neither a model nor a prompt is left out: a registration creates such a configuration, and as an assistant it would
-- be a bare default agent. `registry_id` is the agent_id of the type.
create view agenthall.configured_agents with (security_invoker = true) as
select c.id as agent_id, c.tenant_id as organization_id, c.name::text as name, m.agent_id as registry_id,
       c.system_prompt,
       jsonb_strip_nulls(
         jsonb_build_object('temperature', c.temperature, 'max_tokens', c.max_tokens)) as sampling_params,
       c.model_id as runtime_model_name, null::jsonb as mcp_tools, c.updated_at, 'agent'::text as graph_id,
       c.id::text as langgraph_assistant_id, -- so that nothing is written back
       null::text as description, null::boolean as is_global, null::uuid[] as assistant_tool_ids,
       null::text as engine_type, null::boolean as engine_found
  from mcp.agent_configurations c
  join mcp.agent_manifests m on m.id = c.manifest_id
 where c.enabled and (c.model_id is not null or c.system_prompt is not null);
comment on view agenthall.configured_agents is
  'Configurations that this server can run as agents (AGENT_SYNC_SOURCES=configurations).';
grant select on agenthall.configured_agents to agenthall_system;

-- Notify the server of configurations that change. A configuration that is not in the view above before and after the
-- change is left out: a registration creates such configurations and must not pay for a NOTIFY.
create function agenthall.notify_configurations(p_ids uuid[]) returns void language plpgsql as $$
begin
  if cardinality(p_ids) > 200 then
    perform pg_notify('agenthall_configurations', '*');
  elsif cardinality(p_ids) > 0 then
    perform pg_notify('agenthall_configurations', array_to_string(p_ids, ','));
  end if;
end $$;
create function agenthall.configurations_inserted() returns trigger language plpgsql as $$
begin
  perform agenthall.notify_configurations(array(
    select n.id from new_rows n where n.enabled and (n.model_id is not null or n.system_prompt is not null)));
  return null;
end $$;
create function agenthall.configurations_deleted() returns trigger language plpgsql as $$
begin
  perform agenthall.notify_configurations(array(
    select o.id from old_rows o where o.enabled and (o.model_id is not null or o.system_prompt is not null)));
  return null;
end $$;
create function agenthall.configurations_updated() returns trigger language plpgsql as $$
begin
  perform agenthall.notify_configurations(array(
    select coalesce(n.id, o.id) from old_rows o full join new_rows n on n.id = o.id
     where (o.tenant_id, o.name, o.model_id, o.temperature, o.max_tokens, o.system_prompt, o.enabled) is distinct from
           (n.tenant_id, n.name, n.model_id, n.temperature, n.max_tokens, n.system_prompt, n.enabled)));
  return null;
end $$;
create function agenthall.configurations_truncated() returns trigger language plpgsql as $$
begin
  perform pg_notify('agenthall_configurations', '*');
  return null;
end $$;
create trigger notify_inserted after insert on mcp.agent_configurations referencing new table as new_rows
  for each statement execute function agenthall.configurations_inserted();
create trigger notify_updated after update on mcp.agent_configurations
  referencing old table as old_rows new table as new_rows
  for each statement execute function agenthall.configurations_updated();
create trigger notify_deleted after delete on mcp.agent_configurations referencing old table as old_rows
  for each statement execute function agenthall.configurations_deleted();
create trigger notify_truncated after truncate on mcp.agent_configurations
  for each statement execute function agenthall.configurations_truncated();
