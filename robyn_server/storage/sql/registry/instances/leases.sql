-- Leases and events of instances of all organizations, for the server's own processes. Runs as agenthall_system.

-- name: record_heartbeats
-- The parameters are columns: one heartbeat for each position. Returns one row for each heartbeat, in any order.
-- mcp.heartbeat_agent_instances does not know organizations. So a heartbeat for another organization's registration is
-- kept from it and answered as if the registration did not exist. Only those rows name their organization.
-- `withheld` looks among the disabled configurations and the cordoned instances, which are few and have indexes.
with given as materialized (
  select g.tenant_id, g.registration_id, g.epoch, g.health, g.load, g.metrics, l.registration_id is not null as held,
         exists (select from mcp.agent_configurations c
                  where c.tenant_id = l.tenant_id and c.manifest_id = l.manifest_id and not c.enabled) as disabled,
         exists (select from mcp.agent_instances i
                  where i.id = l.registration_id and i.cordoned_at is not null) as cordoned
    from unnest(:organization_ids::uuid[], :registration_ids::uuid[], :epochs::bigint[], :healths::text[],
                :loads::jsonb[], :metrics::jsonb[])
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
   cross join lateral mcp.heartbeat_agent_instances(
     h.registration_ids, h.epochs, h.healths, h.loads, h.metrics, :keeper_id) as b
  union all
  select g.tenant_id, g.registration_id, g.epoch, mcp.heartbeat_rejection(g.tenant_id, g.registration_id, g.epoch)
    from given g
   where not g.held),
withheld as (
  select g.registration_id, bool_or(g.disabled) as disabled, bool_or(g.cordoned) as cordoned
    from given g
   where g.disabled or g.cordoned
   group by g.registration_id)
select a.tenant_id, a.registration_id, a.epoch, a.outcome, pace.interval_seconds, pace.ttl_seconds,
       not coalesce(w.disabled, false) as enabled, coalesce(w.cordoned, false) as cordoned
  from answers a
  left join withheld w on w.registration_id = a.registration_id
 cross join mcp.current_pace() as pace

-- name: touch_keeper
select k.last_heartbeat, k.outage_began, k.outage_ended
  from mcp.heartbeat_lease_keeper(:keeper_id, :kind, :now, :version) as k

-- name: stop_keeper
select mcp.stop_lease_keeper(:keeper_id)

-- name: status
-- A null :now is the database's time. `is_recent`: a process swept less than :within ago. A sweep reads all leases, so
-- above 10,000 instances :within grows in proportion to the heartbeat interval.
select m.at, p.live, p.updated_at > m.at - :within::interval * greatest(1, p.interval_seconds / 10) as is_recent,
       (select count(*) from mcp.agent_leases l where l.lapsed_at is not null) as stale,
       (select count(*) from mcp.agent_brakes) as brakes
  from (select coalesce(:now::timestamptz, clock_timestamp()) as at) as m
 cross join mcp.lease_pace p

-- name: sweep
select s.stale, s.inactive, s.deleted, s.braked_sets, s.live, s.skipped from mcp.sweep_agent_instances(:at) as s

-- name: list_brakes
select b.tenant_id, m.agent_id, b.since, b.stale, b.total
  from mcp.agent_brakes b
  join mcp.agent_manifests m on m.id = b.manifest_id
 order by b.since, b.tenant_id, m.agent_id

-- name: list_lapsed
select extract(epoch from l.lapsed_at - l.last_health_check)::double precision as seconds,
       case when l.keeper_id is null then 'unkept' when k.id is null or k.stopped_at is not null
              or :at > k.last_heartbeat + mcp.longest_outage() then 'keeper_gone' else 'silent' end as reason,
       l.registration_id, i.agent_id, i.instance_id
  from mcp.agent_leases l
  join mcp.agent_instances i on i.tenant_id = l.tenant_id and i.id = l.registration_id
  left join mcp.lease_keepers k on k.id = l.keeper_id
 where l.lapsed_at = :at

-- name: count_living
-- The :most types with the most instances by their agent_id, all others together as :others. A type whose agent_id is
-- :others is counted there too.
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
select case when r.rank <= :most::integer then r.agent_id else :others::text end as agent,
       sum(r.instances)::bigint as instances
  from ranked r
 group by 1
 order by 2 desc, 1

-- name: publish_events
select mcp.publish_agent_events(:most)

-- name: compact_events
select mcp.compact_agent_events(:keep, :keep_rows)

-- fragment: event
e.position, e.kind, e.tenant_id, e.agent_id, e.registration_id, e.at,
(e.instance - 'id' || jsonb_build_object('registration_id', e.registration_id))::text as instance

-- name: event_log
select l.lowest, l.last from mcp.agent_event_log l

-- name: read_events
-- `age`: seconds from the event until this read, by the database's clock.
select {event}, extract(epoch from clock_timestamp() - e.at)::double precision as age
  from mcp.agent_events e
 where e.position > :after
 order by e.position
 limit :limit

-- name: read_events_of
-- A null :organization_id means all organizations. Without events there is one row that has only the log's columns.
select l.lowest, l.last, found.position, found.kind, found.tenant_id, found.agent_id, found.registration_id, found.at,
       found.instance
  from mcp.agent_event_log l
  left join lateral (
    (select {event} from mcp.agent_events e
      where :organization_id::uuid is not null and e.tenant_id = :organization_id and e.position > :after
      order by e.position limit :limit)
    union all
    (select {event} from mcp.agent_events e
      where :organization_id::uuid is null and e.position > :after
      order by e.position limit :limit)) as found on true
 order by found.position
