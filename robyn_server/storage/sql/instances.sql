-- Instances of agents that run elsewhere, as one tenant ($1) sees and changes them. The verbs set the tenant themselves; every other
-- statement begins with act_for(), and reads in LATERAL subqueries that depend on it (see database.py).

-- fragment: live
-- One of `listed`, with its lease, where it fulfils $5 status, $6 healths, $7 to $10 the ends of a version range, $11 free slots.
cross join lateral (
  select {instance} as body
    from mcp.agent_instances i
    join mcp.agent_leases l on l.registration_id = i.id
    left join mcp.lease_keepers k on k.id = l.keeper_id
   where i.tenant_id = $1 and i.id = listed.registration_id
     and i.registration_status = $5 and mcp.is_alive(l, k, statement_timestamp())
     and ($6::text[] is null or l.health_status = any ($6))
     and ($7::text is null or i.version_key > ends.low or ($8 and i.version_key = ends.low))
     and ($9::text is null or i.version_key < ends.high or ($10 and i.version_key = ends.high))
     and ($11::bigint is null or (
       select c.max_workload is null or c.max_workload - l.workload >= $11 from mcp.agent_configurations c
        where c.tenant_id = $1 and c.manifest_id = i.manifest_id))
  offset 0) as live

-- fragment: instance
-- the public representation, secrets struck out as in the events; keys as in mcp.agent_registrations, its `id` being the registration_id
json_build_object(
  'registration_id', i.id, 'tenant_id', i.tenant_id, 'agent_id', i.agent_id, 'manifest_id', i.manifest_id,
  'instance_id', i.instance_id, 'name', i.name, 'agent_type', i.agent_type, 'version', i.version,
  'capabilities', i.capabilities, 'tags', i.tags, 'zone', i.zone,
  'registration_status', case when mcp.is_alive(l, k, statement_timestamp()) then i.registration_status else 'inactive' end,
  'health_status', case when mcp.is_alive(l, k, statement_timestamp()) then l.health_status else 'stale' end,
  'status_reason', i.status_reason, 'last_health_check', agenthall.iso(coalesce(l.last_health_check, i.last_seen_at)),
  'lease_expires_at', agenthall.iso(l.lease_expires_at), 'epoch', i.epoch, 'workload', coalesce(l.workload, 0),
  'load', coalesce(l.load, '{}'), 'metrics', coalesce(l.metrics, '{}'),
  'connection_details', case when i.may_hold_secrets then mcp.without_secrets(i.connection_details) else i.connection_details end,
  'runtime_config', case when i.may_hold_secrets then mcp.without_secrets(i.runtime_config) else i.runtime_config end,
  'registered_by', i.registered_by, 'registered_at', agenthall.iso(i.registered_at),
  'connected_at', agenthall.iso(i.connected_at), 'updated_at', agenthall.iso(i.updated_at))::text

-- fragment: ends
cross join lateral (select mcp.version_key($7::text) as low, mcp.version_key($9::text) as high where acting offset 0) as ends

-- name: register
-- One round trip, one transaction of its own.
select r.registration_id, r.manifest_id, r.config_id, r.is_new, r.message, r.epoch, r.lease_ttl_seconds, r.heartbeat_interval_seconds
  from mcp.register_agent_instance(
    tenant_id => $1, agent_id => $2, instance_id => $3, name => $4, connection_details => $5, runtime_config => $6,
    capabilities => $7, version => $8, agent_type => $9, zone => $10, tags => $11, idempotency_key => $12,
    registered_by => $13, keeper_id => $14, health => $15) as r

-- name: drain
select d.outcome from mcp.drain_agent_instance($1, $2, $3, $4) as d

-- name: deregister
select d.outcome from mcp.deregister_agent_instance($1, $2, $3, $4) as d

-- name: disconnect
select d.outcome from mcp.disconnect_agent_instance($1, $2, $3, $4) as d

-- name: update
select u.outcome
  from mcp.update_agent_instance(
    tenant_id => $1, registration_id => $2, epoch => $3, name => $4, capabilities => $5, version => $6, zone => $7, tags => $8,
    connection_details => $9, runtime_config => $10) as u

-- name: status
-- As it is stored: what a verb has just looked at.
select found.registration_status
  from mcp.act_for($1) as acting
 cross join lateral (
   select i.registration_status from mcp.agent_instances i where acting and i.tenant_id = $1 and i.id = $2
   offset 0) as found

-- name: said
-- What it last said of itself, nothing struck out.
select found.agent_id, found.instance_id, found.name, found.agent_type, found.version, found.capabilities, found.tags, found.zone,
       found.connection_details, found.runtime_config
  from mcp.act_for($1) as acting
 cross join lateral (
   select i.agent_id, i.instance_id, i.name, i.agent_type, i.version, i.capabilities, i.tags, i.zone,
          i.connection_details::text as connection_details, i.runtime_config::text as runtime_config
     from mcp.agent_instances i
    where acting and i.tenant_id = $1 and i.id = $2
   offset 0) as found

-- name: get
select found.body
  from mcp.act_for($1) as acting
 cross join lateral (
   select {instance} as body
     from mcp.agent_instances i
     left join mcp.agent_leases l on l.registration_id = i.id
     left join mcp.lease_keepers k on k.id = l.keeper_id
    where acting and i.tenant_id = $1 and i.id = $2
   offset 0) as found

-- Searching walks an index entry by entry (the recursive queries): so a page costs what it reads, whatever the planner believes. Only as
-- many rows of a WITH query are evaluated as are fetched (PostgreSQL's manual, section 7.8.2.2): the limit ends the walk.

-- name: search_by_terms
-- Those that have all of $2, after $3, at most $4. The rarest term leads: ids are random, so it is the one whose 64th entry from here
-- lies farthest on, or which has not that many.
select found.registration_id, found.body
  from mcp.act_for($1) as acting
 cross join lateral (
   select named.term from unnest($2::text[]) as named (term)
    where acting
    order by case when cardinality($2::text[]) > 1 then (
      select t.registration_id from mcp.agent_terms t
       where t.tenant_id = $1 and t.term = named.term and t.registration_id > $3
       order by t.registration_id offset 63 limit 1) end desc nulls first
    limit 1) as rarest
 {ends}
 cross join lateral (
   with recursive walk (registration_id) as (
     select $3::uuid
     union all
     select following.registration_id
       from walk
      cross join lateral (
        select t.registration_id from mcp.agent_terms t
         where t.tenant_id = $1 and t.term = rarest.term and t.registration_id > walk.registration_id
         order by t.registration_id limit 1) as following)
   select listed.registration_id, live.body
     from (select w.registration_id from walk w
            where w.registration_id > $3
              and case when cardinality($2::text[]) = 1 then true else (
                select count(*) from mcp.agent_terms o
                 where o.tenant_id = $1 and o.term = any ($2) and o.registration_id = w.registration_id) = cardinality($2) end) as listed
    {live}
    limit $4) as found
 order by found.registration_id

-- name: search_current
-- Without a term ($2 is empty): all that have not ended.
select found.registration_id, found.body
  from mcp.act_for($1) as acting
 {ends}
 cross join lateral (
   with recursive walk (registration_id) as (
     select $3::uuid where $2::text[] = '{}'
     union all
     select following.registration_id
       from walk
      cross join lateral (
        select i.id as registration_id from mcp.agent_instances i
         where i.tenant_id = $1 and i.registration_status <> 'inactive' and i.id > walk.registration_id
         order by i.id limit 1) as following)
   select listed.registration_id, live.body
     from (select w.registration_id from walk w where w.registration_id > $3) as listed
    {live}
    limit $4) as found
 order by found.registration_id

-- name: search_ended
-- Those without a living lease, swept or not. They have no terms: $2 agent, $5 capabilities, $6 tags, $11 zone.
select found.registration_id, found.body
  from mcp.act_for($1) as acting
 {ends}
 cross join lateral (
   select i.id as registration_id, {instance} as body
     from mcp.agent_instances i
     left join mcp.agent_leases l on l.registration_id = i.id
     left join mcp.lease_keepers k on k.id = l.keeper_id
    where i.tenant_id = $1 and i.id > $3 and not mcp.is_alive(l, k, statement_timestamp())
      and ($2::text is null or i.agent_id = $2)
      and i.capabilities @> $5::text[] and i.tags @> $6::text[] and ($11::text is null or i.zone = $11)
      and ($7::text is null or i.version_key > ends.low or ($8 and i.version_key = ends.low))
      and ($9::text is null or i.version_key < ends.high or ($10 and i.version_key = ends.high))
    order by i.id
    limit $4) as found
 order by found.registration_id
