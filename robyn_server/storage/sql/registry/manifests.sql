-- Manifests: types of agents, the same for all organizations. `find` and `search` run as agenthall_app, the others as
-- agenthall_system; pools.py explains LATERAL.

-- include: fragments

-- fragment: manifest
-- As administrators see it.
json_build_object(
  'manifest_id', m.id, 'agent_id', m.agent_id, 'agent_type', m.agent_type, 'name', m.name, 'description', m.description,
  'version', m.version, 'capabilities', m.capabilities, 'state_schema', m.state_schema, 'published', m.published,
  'created_at', agenthall.iso(m.created_at), 'updated_at', agenthall.iso(m.updated_at))::text

-- fragment: shown
-- As an organization sees it: an administrator decides with `published` who sees what the manifest says. The state
-- schema is in the config of the organization's assistant anyway.
json_build_object(
  'manifest_id', m.id, 'agent_id', m.agent_id, 'agent_type', case when m.published then m.agent_type end,
  'name', case when m.published then m.name end, 'description', case when m.published then m.description end,
  'version', case when m.published then m.version end,
  'capabilities', case when m.published then m.capabilities else '{}'::text[] end, 'state_schema', m.state_schema,
  'published', m.published,
  'created_at', agenthall.iso(m.created_at), 'updated_at', agenthall.iso(m.updated_at))::text

-- name: find
select found.body
  from mcp.act_for(:organization_id) as acting
 cross join lateral (
   select {shown} as body from mcp.agent_manifests m where acting and m.agent_id = :agent_id
   offset 0) as found

-- name: find_any
select {manifest} as body from mcp.agent_manifests m where m.agent_id = :agent_id

-- name: search
-- The published ones, and those of the organization: each has an index. The constant limits are for the planner.
select found.agent_id, found.body, {bounded}
  from mcp.act_for(:organization_id) as acting
 cross join lateral (
   select listed.agent_id, {shown} as body
     from (select visible.agent_id
             from ((select published.agent_id
                      from (select m.agent_id from mcp.agent_manifests m
                             where acting and m.published and m.agent_id > :after
                             order by m.agent_id limit 1001) as published
                     limit :limit)
                   union
                   (select configured.agent_id
                      from (select c.agent_id from mcp.agent_configurations c
                             where acting and c.tenant_id >= :organization_id and c.tenant_id <= :organization_id
                               and c.agent_id > :after
                             order by c.tenant_id, c.agent_id limit 1001) as configured
                     limit :limit)) as visible
            order by visible.agent_id limit :limit) as listed
    cross join lateral (
      select m.* from mcp.agent_manifests m where m.agent_id = listed.agent_id offset 0) as m
   offset 0) as found
 order by found.agent_id

-- name: search_any
select found.agent_id, found.body, {bounded}
  from (select m.agent_id, {manifest} as body
          from (select m.* from mcp.agent_manifests m where m.agent_id > :after order by m.agent_id limit 1001) m
         limit :limit) as found
 order by found.agent_id

-- name: upsert
-- :fields holds all fields but the agent_id. From then on the manifest counts for no organization.
insert into mcp.agent_manifests as m (
  agent_id, agent_type, name, description, version, capabilities, state_schema, published, created_for)
select :agent_id, given.agent_type, given.name, given.description, given.version, given.capabilities,
       given.state_schema, given.published, null
  from jsonb_populate_record(null::mcp.agent_manifests, :fields) as given
 where agenthall.set_actor(:actor, :request_id)
on conflict (agent_id) do update
  set agent_type = excluded.agent_type, name = excluded.name, description = excluded.description,
      version = excluded.version, capabilities = excluded.capabilities, state_schema = excluded.state_schema,
      published = excluded.published, created_for = null, updated_at = clock_timestamp()
returning {manifest} as body, m.xmax = 0 as is_new

-- name: update
-- :fields holds the fields to change.
update mcp.agent_manifests m
   set (agent_type, name, description, version, capabilities, state_schema, published, created_for, updated_at) = (
         select given.agent_type, given.name, given.description, given.version, given.capabilities,
                given.state_schema, given.published, null::uuid, clock_timestamp()
           from jsonb_populate_record(m, :fields) as given)
 where m.agent_id = :agent_id and agenthall.set_actor(:actor, :request_id)
returning {manifest} as body

-- name: delete
delete from mcp.agent_manifests m where m.agent_id = :agent_id and agenthall.set_actor(:actor, :request_id)
returning m.id
