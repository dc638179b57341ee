-- Leases and events of instances, of all tenants: the server's own work, as agenthall_system.

-- name: beat_many
-- By position: $1 tenants, $2 registrations, $3 epochs, $4 healths, $5 loads, $6 metrics. $7 the keeper. One row for each, in any order.
-- The verb knows no tenants: another tenant's registration is kept from it, and answered like one that is not there. Only rows of what
-- was not given to the verb name their tenant.
with given as materialized (
  select g.tenant_id, g.registration_id, g.epoch, g.health, g.load, g.metrics, l.registration_id is not null as held
    from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::jsonb[], $6::jsonb[])
      as g (tenant_id, registration_id, epoch, health, load, metrics)
    left join mcp.agent_leases l on l.registration_id = g.registration_id and l.tenant_id = g.tenant_id),
held as (
  select coalesce(array_agg(g.registration_id), '{}') as registration_ids, coalesce(array_agg(g.epoch), '{}') as epochs,
         coalesce(array_agg(g.health), '{}') as healths, coalesce(array_agg(g.load), '{}') as loads,
         coalesce(array_agg(g.metrics), '{}') as metrics
    from given g
   where g.held),
answers as (
  select null::uuid as tenant_id, b.registration_id, b.epoch, b.outcome
    from held h
   cross join lateral mcp.heartbeat_agent_instances(h.registration_ids, h.epochs, h.healths, h.loads, h.metrics, $7) as b
  union all
  select g.tenant_id, g.registration_id, g.epoch, mcp.refusal_of_heartbeat(g.tenant_id, g.registration_id, g.epoch)
    from given g
   where not g.held)
select a.tenant_id, a.registration_id, a.epoch, a.outcome, pace.interval_seconds, pace.ttl_seconds
  from answers a
 cross join mcp.dictated_pace() as pace

-- name: beat_keeper
select k.last_beat, k.outage_began, k.outage_ended from mcp.beat_lease_keeper($1, $2, $3) as k

-- name: stop_keeper
select mcp.stop_lease_keeper($1)

-- name: look
-- How things stand at $1 (null: now); whether somebody swept within $2 before. A sweep goes through all leases: above 10,000 instances it
-- comes as much less often as they beat more slowly.
select m.at, p.live, p.updated_at > m.at - $2::interval * greatest(1, p.interval_seconds / 10) as is_recent,
       (select count(*) from mcp.agent_leases l where l.lapsed_at is not null) as stale,
       (select count(*) from mcp.agent_brakes) as brakes
  from (select coalesce($1::timestamptz, clock_timestamp()) as at) as m
 cross join mcp.lease_pace p

-- name: sweep
select s.stale, s.inactive, s.deleted, s.braked_sets, s.live, s.skipped from mcp.sweep_agent_instances($1) as s

-- name: brakes
select b.tenant_id, m.agent_id, b.since, b.stale, b.total
  from mcp.agent_brakes b
  join mcp.agent_manifests m on m.id = b.manifest_id
 order by b.since, b.tenant_id, m.agent_id

-- name: lapsed
-- Those that the sweep at $1 found lapsed: for how many seconds they had been silent, and why they are so.
select extract(epoch from l.lapsed_at - l.last_health_check)::double precision as seconds,
       case when l.keeper_id is null then 'unkept' when k.id is null or k.stopped_at is not null
              or $1 > k.last_beat + mcp.longest_outage() then 'keeper_gone' else 'silent' end as reason
  from mcp.agent_leases l
  left join mcp.lease_keepers k on k.id = l.keeper_id
 where l.lapsed_at = $1

-- name: agents
-- Living instances by type, of all tenants: the $1 types with most of them, and all others together as $2. Also a type that bears that name.
with living as (
  select l.manifest_id, count(*) as instances
    from mcp.agent_leases l
    left join mcp.lease_keepers k on k.id = l.keeper_id
   where l.lapsed_at is null and mcp.is_alive(l, k, statement_timestamp())
   group by l.manifest_id),
ranked as (
  select m.agent_id, v.instances, row_number() over (order by v.instances desc, m.agent_id) as rank
    from living v
    join mcp.agent_manifests m on m.id = v.manifest_id)
select case when r.rank <= $1::integer then r.agent_id else $2::text end as agent, sum(r.instances)::bigint as instances
  from ranked r
 group by 1
 order by 2 desc, 1

-- name: publish
select mcp.publish_agent_events($1)

-- name: compact
select mcp.compact_agent_events($1, $2)

-- fragment: event
e.position, e.kind, e.tenant_id, e.agent_id, e.registration_id, e.at,
(e.instance - 'id' || jsonb_build_object('registration_id', e.registration_id))::text as instance

-- name: event_log
select l.lowest, l.last from mcp.agent_event_log l

-- name: read_events
-- After $1, at most $2. How old each was when it was read, by this database's clock.
select {event}, extract(epoch from clock_timestamp() - e.at)::double precision as age
  from mcp.agent_events e
 where e.position > $1
 order by e.position
 limit $2

-- name: read_events_of
-- One tenant's ($1; null: all) after $2, at most $3, with the log as it was: one row without an event when there are none.
select l.lowest, l.last, found.position, found.kind, found.tenant_id, found.agent_id, found.registration_id, found.at, found.instance
  from mcp.agent_event_log l
  left join lateral (
    (select {event} from mcp.agent_events e
      where $1::uuid is not null and e.tenant_id = $1 and e.position > $2
      order by e.position limit $3)
    union all
    (select {event} from mcp.agent_events e
      where $1::uuid is null and e.position > $2
      order by e.position limit $3)) as found on true
 order by found.position
