-- Instances of agents that run elsewhere, as one organization sees and changes them. Runs as agenthall_app.
-- The functions of schema mcp select the organization themselves. Every other statement begins with act_for() and reads
-- in LATERAL subqueries that depend on it; pools.py explains why.
--
-- A search walks an index entry by entry in a recursive query, so a page costs what it reads, whatever the planner
-- estimates. PostgreSQL evaluates only as many rows of a WITH query as are fetched (manual, section 7.8.2.2), so the
-- limit ends the walk.

-- include: fragments

-- fragment: instance
-- The public representation, with the keys of mcp.agent_registrations, whose `id` is `registration_id` here.
json_build_object(
  'registration_id', i.id, 'tenant_id', i.tenant_id, 'agent_id', i.agent_id, 'manifest_id', i.manifest_id,
  'instance_id', i.instance_id, 'name', i.name, 'agent_type', i.agent_type, 'version', i.version,
  'capabilities', i.capabilities, 'tags', i.tags, 'zone', i.zone,
  'registration_status',
  case when mcp.is_alive(l, k, statement_timestamp()) then i.registration_status else 'inactive' end,
  'health_status', case when mcp.is_alive(l, k, statement_timestamp()) then l.health_status else 'stale' end,
  'status_reason', i.status_reason,
  'last_health_check', agenthall.iso(coalesce(l.last_health_check, i.last_seen_at)),
  'lease_expires_at', agenthall.iso(l.lease_expires_at), 'epoch', i.epoch, 'workload', coalesce(l.workload, 0),
  'load', coalesce(l.load, '{}'), 'metrics', coalesce(l.metrics, '{}'),
  'connection_details',
  case when i.may_hold_secrets then mcp.redact_secrets(i.connection_details) else i.connection_details end,
  'runtime_config', case when i.may_hold_secrets then mcp.redact_secrets(i.runtime_config) else i.runtime_config end,
  'registered_by', i.registered_by, 'registered_at', agenthall.iso(i.registered_at),
  'connected_at', agenthall.iso(i.connected_at), 'updated_at', agenthall.iso(i.updated_at),
  'cordoned_at', agenthall.iso(i.cordoned_at), 'cordoned_by', i.cordoned_by, 'cordon_reason', i.cordon_reason)::text

-- fragment: ends
-- The ends of the version range as sort keys; null: open.
cross join lateral (
  select mcp.version_key(:low::text) as low, mcp.version_key(:high::text) as high where acting offset 0) as ends

-- fragment: in_range
(:low::text is null or i.version_key > ends.low or (:low_inclusive and i.version_key = ends.low))
and (:high::text is null or i.version_key < ends.high or (:high_inclusive and i.version_key = ends.high))

-- fragment: live
-- The instance of `listed` with its lease, if it is alive and matches the filters. With :takes_work, neither its
-- configuration is disabled nor the instance cordoned.
cross join lateral (
  select {instance} as body
    from mcp.agent_instances i
    join mcp.agent_leases l on l.registration_id = i.id
    left join mcp.lease_keepers k on k.id = l.keeper_id
   where i.tenant_id = :organization_id and i.id = listed.registration_id
     and i.registration_status = :status and mcp.is_alive(l, k, statement_timestamp())
     and (not :takes_work or i.cordoned_at is null and not exists (
       select from mcp.agent_configurations c
        where c.tenant_id = :organization_id and c.manifest_id = i.manifest_id and not c.enabled))
     and (:healths::text[] is null or l.health_status = any (:healths))
     and {in_range}
     and (:free_slots::bigint is null or (
       select c.max_workload is null or c.max_workload - l.workload >= :free_slots from mcp.agent_configurations c
        where c.tenant_id = :organization_id and c.manifest_id = i.manifest_id))
  offset 0) as live

-- fragment: lapsed
-- The beginning of a search for instances without a living lease, swept or not.
select found.registration_id, found.body, {bounded}
  from mcp.act_for(:organization_id) as acting
 {ends}
 cross join lateral (
   select i.id as registration_id, {instance} as body
     from mcp.agent_instances i
     left join mcp.agent_leases l on l.registration_id = i.id
     left join mcp.lease_keepers k on k.id = l.keeper_id
    where i.tenant_id = :organization_id and i.id > :after and not mcp.is_alive(l, k, statement_timestamp())
      and (:agent_id::text is null or i.agent_id = :agent_id)
      and i.capabilities @> :capabilities::text[] and i.tags @> :tags::text[]
      and (:zone::text is null or i.zone = :zone)
      and {in_range}

-- name: register
-- With a :drain_reason nobody sees the instance active: it drains in the same transaction.
select r.registration_id, r.manifest_id, r.config_id, r.is_new, r.message, r.epoch, r.lease_ttl_seconds,
       r.heartbeat_interval_seconds,
       case when :drain_reason::text is not null
            then (select d.outcome
                    from mcp.drain_agent_instance(:organization_id, r.registration_id, r.epoch, :drain_reason) as d)
       end as drained
  from agenthall.set_actor(:registered_by, null) as acting
 cross join lateral mcp.register_agent_instance(
    tenant_id => case when acting then :organization_id::uuid end, agent_id => :agent_id, instance_id => :instance_id, name => :name,
    connection_details => :connection_details, runtime_config => :runtime_config, capabilities => :capabilities,
    version => :version, agent_type => :agent_type, zone => :zone, tags => :tags, idempotency_key => :idempotency_key,
    registered_by => :registered_by, keeper_id => :keeper_id, health => :health,
    connection_defaults => :connection_defaults) as r

-- name: drain
select d.outcome
  from agenthall.set_actor(:actor, :request_id) as acting
 cross join lateral mcp.drain_agent_instance(
   case when acting then :organization_id::uuid end, :registration_id, :epoch, :reason) as d

-- name: deregister
select d.outcome
  from agenthall.set_actor(:actor, :request_id) as acting
 cross join lateral mcp.deregister_agent_instance(
   case when acting then :organization_id::uuid end, :registration_id, :epoch, :reason) as d

-- name: disconnect
select d.outcome from mcp.disconnect_agent_instance(:organization_id, :registration_id, :epoch, :grace_seconds) as d

-- name: cordon
select c.outcome
  from agenthall.set_actor(:actor, :request_id) as acting
 cross join lateral mcp.cordon_agent_instance(
   case when acting then :organization_id::uuid end, :registration_id, :reason, :cordoned_by) as c

-- name: uncordon
select u.outcome
  from agenthall.set_actor(:actor, :request_id) as acting
 cross join lateral mcp.uncordon_agent_instance(
   case when acting then :organization_id::uuid end, :registration_id) as u

-- name: update
select u.outcome
  from mcp.update_agent_instance(
    tenant_id => :organization_id, registration_id => :registration_id, epoch => :epoch, name => :name,
    capabilities => :capabilities, version => :version, zone => :zone, tags => :tags,
    connection_details => :connection_details, runtime_config => :runtime_config) as u

-- name: find_status
select found.registration_status
  from mcp.act_for(:organization_id) as acting
 cross join lateral (
   select i.registration_status from mcp.agent_instances i
    where acting and i.tenant_id = :organization_id and i.id = :registration_id
   offset 0) as found

-- name: find_agent_id
select found.agent_id
  from mcp.act_for(:organization_id) as acting
 cross join lateral (
   select i.agent_id from mcp.agent_instances i
    where acting and i.tenant_id = :organization_id and i.id = :registration_id
   offset 0) as found

-- name: find_last_request
-- With the secrets that the instance sent.
select found.agent_id, found.instance_id, found.name, found.agent_type, found.version, found.capabilities, found.tags,
       found.zone, found.connection_details, found.runtime_config
  from mcp.act_for(:organization_id) as acting
 cross join lateral (
   select i.agent_id, i.instance_id, i.name, i.agent_type, i.version, i.capabilities, i.tags, i.zone,
          i.connection_details::text as connection_details, i.runtime_config::text as runtime_config
     from mcp.agent_instances i
    where acting and i.tenant_id = :organization_id and i.id = :registration_id
   offset 0) as found

-- name: find
-- With the jobs that the instance takes and has, and its circuit breaker; null: it takes none.
select found.body
  from mcp.act_for(:organization_id) as acting
 cross join lateral (
   select left({instance}, -1) || ', "jobs": ' || coalesce((
            select json_build_object(
                     'slots', s.slots, 'used', s.used, 'breaker', mcp.breaker_state(s, clock_timestamp()),
                     'failures', s.failures, 'ejected_until', agenthall.iso(s.ejected_until),
                     'reason', s.ejection_reason)::text
              from mcp.agent_slots s
             where s.registration_id = i.id), 'null') || '}' as body
     from mcp.agent_instances i
     left join mcp.agent_leases l on l.registration_id = i.id
     left join mcp.lease_keepers k on k.id = l.keeper_id
    where acting and i.tenant_id = :organization_id and i.id = :registration_id
   offset 0) as found

-- name: search_by_terms
-- Instances that have all of :terms. The walk follows the rarest term. Ids are random, so that is the term whose 64th
-- entry after :after has the largest id, or which has fewer entries. There is no walk through a disabled type.
select found.registration_id, found.body, {bounded}
  from mcp.act_for(:organization_id) as acting
 cross join lateral (
   select named.term from unnest(:terms::text[]) as named (term)
    where acting and not (:takes_work and exists (
      select from mcp.agent_configurations c
       where c.tenant_id = :organization_id and c.agent_id = :agent_id::text and not c.enabled))
    order by case when cardinality(:terms::text[]) > 1 then (
      select t.registration_id from mcp.agent_search_terms t
       where t.tenant_id = :organization_id and t.term = named.term and t.registration_id > :after
       order by t.registration_id offset 63 limit 1) end desc nulls first
    limit 1) as rarest
 {ends}
 cross join lateral (
   with recursive walk (registration_id) as (
     select :after::uuid
     union all
     select following.registration_id
       from walk
      cross join lateral (
        select t.registration_id from mcp.agent_search_terms t
         where t.tenant_id = :organization_id and t.term = rarest.term and t.registration_id > walk.registration_id
         order by t.registration_id limit 1) as following)
   select listed.registration_id, live.body
     from (select w.registration_id from walk w
            where w.registration_id > :after
              and case when cardinality(:terms::text[]) = 1 then true else (
                select count(*) from mcp.agent_search_terms o
                 where o.tenant_id = :organization_id and o.term = any (:terms)
                   and o.registration_id = w.registration_id) = cardinality(:terms) end) as listed
    {live}
    limit :limit) as found
 order by found.registration_id

-- name: search_current
-- Without terms: all instances that have not ended.
select found.registration_id, found.body, {bounded}
  from mcp.act_for(:organization_id) as acting
 {ends}
 cross join lateral (
   with recursive walk (registration_id) as (
     select :after::uuid
     union all
     select following.registration_id
       from walk
      cross join lateral (
        select i.id as registration_id from mcp.agent_instances i
         where i.tenant_id = :organization_id and i.registration_status <> 'inactive' and i.id > walk.registration_id
         order by i.id limit 1) as following)
   select listed.registration_id, live.body
     from (select w.registration_id from walk w where w.registration_id > :after) as listed
    {live}
    limit :limit) as found
 order by found.registration_id

-- name: search_inactive
-- Instances without a living lease, ended or not. Ended ones have no terms, so their own columns are compared.
{lapsed}
    order by i.id
    limit :limit) as found
 order by found.registration_id

-- name: search_stale
-- Instances whose lease has lapsed and that have not ended: a heartbeat revives them.
{lapsed}
      and i.registration_status <> 'inactive'
    order by i.id
    limit :limit) as found
 order by found.registration_id
