-- Configurations: what one tenant ($1) has set for a type of agent.

-- fragment: configuration
json_build_object(
  'config_id', c.id, 'tenant_id', c.tenant_id, 'agent_id', m.agent_id, 'manifest_id', c.manifest_id, 'name', c.name,
  'agent_type', c.agent_type, 'model_id', c.model_id, 'temperature', c.temperature, 'max_tokens', c.max_tokens,
  'system_prompt', c.system_prompt, 'max_workload', c.max_workload, 'capabilities', c.capabilities,
  'configuration', c.configuration, 'enabled', c.enabled,
  'created_at', agenthall.iso(c.created_at), 'updated_at', agenthall.iso(c.updated_at))::text

-- name: get
select found.body
  from mcp.act_for($1) as acting
 cross join lateral (
   select {configuration} as body
     from mcp.agent_configurations c
     join mcp.agent_manifests m on m.id = c.manifest_id
    where acting and c.tenant_id = $1 and m.agent_id = $2
   offset 0) as found

-- name: search
-- $2 after this agent_id, $3 limit
select found.agent_id, found.body
  from mcp.act_for($1) as acting
 cross join lateral (
   select m.agent_id, {configuration} as body
     from mcp.agent_configurations c
     join mcp.agent_manifests m on m.id = c.manifest_id
    where acting and c.tenant_id = $1 and m.agent_id > $2
    order by m.agent_id limit $3
   offset 0) as found
 order by found.agent_id

-- name: act
select mcp.act_for($1)

-- name: ensure_manifest
-- No conflict target: it would need a manifest that is visible, and nobody may have configured it yet.
insert into mcp.agent_manifests (id, agent_id) values (gen_random_uuid(), $1) on conflict do nothing

-- name: manifest_id
select mcp.manifest_id_for($1)

-- name: put
-- In a transaction that acts for the tenant. $2 manifest, $3 agent_id, $4 all fields.
insert into mcp.agent_configurations as c (
  tenant_id, manifest_id, name, agent_type, model_id, temperature, max_tokens, system_prompt, max_workload, capabilities,
  configuration, enabled)
select $1, $2, coalesce(given.name, $3), given.agent_type, given.model_id, given.temperature, given.max_tokens, given.system_prompt,
       given.max_workload, given.capabilities, given.configuration, given.enabled
  from jsonb_populate_record(null::mcp.agent_configurations, $4) as given
on conflict (tenant_id, manifest_id) do update
  set name = excluded.name, agent_type = excluded.agent_type, model_id = excluded.model_id, temperature = excluded.temperature,
      max_tokens = excluded.max_tokens, system_prompt = excluded.system_prompt, max_workload = excluded.max_workload,
      capabilities = excluded.capabilities, configuration = excluded.configuration, enabled = excluded.enabled,
      updated_at = clock_timestamp()
returning c.xmax = 0 as is_new

-- name: update
-- In a transaction that acts for the tenant. $2 manifest, $3 the fields to change.
update mcp.agent_configurations c
   set (name, agent_type, model_id, temperature, max_tokens, system_prompt, max_workload, capabilities, configuration, enabled,
        updated_at) = (
         select given.name, given.agent_type, given.model_id, given.temperature, given.max_tokens, given.system_prompt,
                given.max_workload, given.capabilities, given.configuration, given.enabled, clock_timestamp()
           from jsonb_populate_record(c, $3) as given)
 where c.tenant_id = $1 and c.manifest_id = $2

-- name: delete
-- In a transaction that acts for the tenant.
delete from mcp.agent_configurations c where c.tenant_id = $1 and c.manifest_id = $2 returning c.id
