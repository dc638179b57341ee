-- Brakes of one organization. Runs as agenthall_app; pools.py explains LATERAL.

-- include: fragments

-- name: search
select found.body, {bounded}
  from mcp.act_for(:organization_id) as acting
 cross join lateral (
   select m.agent_id, b.since, json_build_object(
            'agent_id', m.agent_id, 'since', agenthall.iso(b.since), 'stale', b.stale, 'total', b.total)::text as body
     from mcp.agent_brakes b
     join mcp.agent_manifests m on m.id = b.manifest_id
    where acting and b.tenant_id = :organization_id
    order by b.since, m.agent_id
    limit :limit offset :offset) as found
 order by found.since, found.agent_id

-- name: release
select done.released
  from mcp.act_for(:organization_id) as acting
 cross join lateral (
   select mcp.release_brake(:organization_id, :agent_id) as released
    where acting and agenthall.set_actor(:actor, :request_id)
   offset 0) as done
