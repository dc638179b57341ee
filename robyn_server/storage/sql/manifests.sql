-- Manifests: types of agents, the same for all tenants.

-- fragment: manifest
json_build_object(
  'manifest_id', m.id, 'agent_id', m.agent_id, 'agent_type', m.agent_type, 'name', m.name, 'description', m.description,
  'version', m.version, 'capabilities', m.capabilities, 'published', m.published,
  'created_at', agenthall.iso(m.created_at), 'updated_at', agenthall.iso(m.updated_at))::text

-- name: get
select found.body
  from mcp.act_for($1) as acting
 cross join lateral (
   select {manifest} as body from mcp.agent_manifests m where acting and m.agent_id = $2
   offset 0) as found

-- name: get_any
-- As agenthall_system.
select {manifest} as body from mcp.agent_manifests m where m.agent_id = $1

-- name: search
select found.agent_id, found.body
  from mcp.act_for($1) as acting
 cross join lateral (
   select m.agent_id, {manifest} as body from mcp.agent_manifests m
    where acting and m.agent_id > $2 order by m.agent_id limit $3
   offset 0) as found
 order by found.agent_id

-- name: search_any
-- As agenthall_system.
select m.agent_id, {manifest} as body from mcp.agent_manifests m where m.agent_id > $1 order by m.agent_id limit $2

-- name: put
-- As agenthall_system. $2: all fields but the identity.
insert into mcp.agent_manifests as m (agent_id, agent_type, name, description, version, capabilities, published)
select $1, given.agent_type, given.name, given.description, given.version, given.capabilities, given.published
  from jsonb_populate_record(null::mcp.agent_manifests, $2) as given
on conflict (agent_id) do update
  set agent_type = excluded.agent_type, name = excluded.name, description = excluded.description, version = excluded.version,
      capabilities = excluded.capabilities, published = excluded.published, updated_at = clock_timestamp()
returning {manifest} as body, m.xmax = 0 as is_new

-- name: update
-- As agenthall_system. $2: the fields to change.
update mcp.agent_manifests m
   set (agent_type, name, description, version, capabilities, published, updated_at) = (
         select given.agent_type, given.name, given.description, given.version, given.capabilities, given.published, clock_timestamp()
           from jsonb_populate_record(m, $2) as given)
 where m.agent_id = $1
returning {manifest} as body
