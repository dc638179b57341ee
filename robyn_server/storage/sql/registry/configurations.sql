-- Configurations: the settings of one organization for a type of agent. Runs as agenthall_app; pools.py explains
-- LATERAL.
-- Statements that change something run in a transaction that acts for the organization.

-- include: fragments

-- fragment: configuration
json_build_object(
  'config_id', c.id, 'tenant_id', c.tenant_id, 'agent_id', c.agent_id, 'manifest_id', c.manifest_id, 'name', c.name,
  'agent_type', c.agent_type, 'model_id', c.model_id, 'temperature', c.temperature, 'max_tokens', c.max_tokens,
  'system_prompt', c.system_prompt, 'max_workload', c.max_workload, 'capabilities', c.capabilities,
  'configuration', c.configuration, 'enabled', c.enabled, 'execution', c.execution,
  'effective_execution', mcp.effective_execution(c.execution, c.model_id, c.system_prompt),
  'jobs', mcp.job_options(c.jobs),
  'created_at', agenthall.iso(c.created_at), 'updated_at', agenthall.iso(c.updated_at))::text

-- name: find
select found.body
  from mcp.act_for(:organization_id) as acting
 cross join lateral (
   select {configuration} as body
     from mcp.agent_configurations c
    where acting and c.tenant_id = :organization_id and c.agent_id = :agent_id
   offset 0) as found

-- name: search
-- The tenant is a range, so that only an index that begins with it has the order. The constant limit is for the planner.
select found.agent_id, found.body, {bounded}
  from mcp.act_for(:organization_id) as acting
 cross join lateral (
   select c.agent_id, {configuration} as body
     from (select c.*
             from mcp.agent_configurations c
            where acting and c.tenant_id >= :organization_id and c.tenant_id <= :organization_id and c.agent_id > :after
            order by c.tenant_id, c.agent_id limit 1001) c
    limit :limit
   offset 0) as found
 order by found.agent_id

-- name: acting_for
select mcp.act_for(:organization_id), agenthall.set_actor(:actor, :request_id)

-- name: upsert_ensure_manifest
select mcp.ensure_manifest(:agent_id, :organization_id)

-- name: manifest_id
select mcp.manifest_id_for(:agent_id)

-- name: upsert
insert into mcp.agent_configurations as c (
  tenant_id, manifest_id, name, agent_type, model_id, temperature, max_tokens, system_prompt, max_workload,
  capabilities, configuration, enabled, execution, jobs)
select :organization_id, :manifest_id, coalesce(given.name, :agent_id), given.agent_type, given.model_id,
       given.temperature, given.max_tokens, given.system_prompt, given.max_workload, given.capabilities,
       given.configuration, given.enabled, given.execution, given.jobs
  from jsonb_populate_record(null::mcp.agent_configurations, :fields) as given
on conflict (tenant_id, manifest_id) do update
  set name = excluded.name, agent_type = excluded.agent_type, model_id = excluded.model_id,
      temperature = excluded.temperature, max_tokens = excluded.max_tokens, system_prompt = excluded.system_prompt,
      max_workload = excluded.max_workload, capabilities = excluded.capabilities,
      configuration = excluded.configuration, enabled = excluded.enabled, execution = excluded.execution,
      jobs = excluded.jobs, updated_at = clock_timestamp()
returning c.xmax = 0 as is_new

-- name: update
-- :fields holds the fields to change, and of `jobs` the members to change.
update mcp.agent_configurations c
   set (name, agent_type, model_id, temperature, max_tokens, system_prompt, max_workload, capabilities, configuration,
        enabled, execution, jobs, updated_at) = (
         select given.name, given.agent_type, given.model_id, given.temperature, given.max_tokens, given.system_prompt,
                given.max_workload, given.capabilities, given.configuration, given.enabled, given.execution,
                c.jobs || given.jobs, clock_timestamp()
           from jsonb_populate_record(c, :fields) as given)
 where c.tenant_id = :organization_id and c.manifest_id = :manifest_id

-- name: delete
delete from mcp.agent_configurations c
 where c.tenant_id = :organization_id and c.manifest_id = :manifest_id
returning c.id
