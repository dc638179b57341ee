-- The audit trail, as a principal may read it. Runs as agenthall_app; pools.py explains act_as and LATERAL.

-- include: fragments

-- fragment: everything
true

-- fragment: index_of_everything
-- the index of the order itself

-- fragment: by_organization
-- A range, so that only an index that begins with the organization has the order.
e.organization_id >= :organization_id and e.organization_id <= :organization_id

-- fragment: index_of_organization
e.organization_id desc,

-- fragment: by_actor
e.actor >= :actor and e.actor <= :actor

-- fragment: index_of_actor
e.actor desc,

-- fragment: by_resource_id
e.resource_id >= :resource_id and e.resource_id <= :resource_id

-- fragment: index_of_resource_id
e.resource_id desc,

-- fragment: by_organization_actor
-- Row-level security drops entries during the walk. Within one organization it drops none.
e.organization_id = :organization_id and e.actor >= :actor and e.actor <= :actor

-- fragment: by_organization_resource_id
e.organization_id = :organization_id and e.resource_id >= :resource_id and e.resource_id <= :resource_id

-- fragment: actor
e.actor = :actor

-- fragment: action
e.action = :action

-- fragment: resource_type
e.resource_type = :resource_type

-- fragment: after
(e.at, e.audit_id) < (:at::timestamptz, :audit_id::bigint)

-- fragment: since
e.at >= :since::timestamptz

-- fragment: until
e.at < :until::timestamptz

-- template: search
-- Walks one index, at most 5,000 entries far. `is_cut`: the walk ended there, and older entries may match.
select found.body, found.at, found.audit_id, found.is_match, found.is_cut, {bounded}
  from agenthall.act_as(:identity, :organizations, :is_admin, :grants) as acting
 cross join lateral (
   select json_build_object(
            'audit_id', e.audit_id, 'at', agenthall.iso(e.at), 'organization_id', e.organization_id,
            'actor', e.actor, 'actor_kind', e.actor_kind, 'database_role', e.database_role,
            'request_id', e.request_id, 'action', e.action, 'resource_type', e.resource_type,
            'resource_id', e.resource_id, 'changed_fields', e.changed_fields)::text as body,
          e.at, e.audit_id, e.is_match, e.place = 5000 as is_cut
     from (select e.*, {filters} as is_match, row_number() over () as place
             from (select e.* from agenthall.audit_log e
                    where acting and {path} and {bounds}
                    order by {index}
                             e.at desc, e.audit_id desc
                    limit 5000) e) e
    where e.is_match or e.place = 5000
    limit :last::bigint
   offset 0) as found

-- name: sweep
select agenthall.sweep_audit_log(:keep::interval, :limit)
