-- Scaling signals of one organization's agents. Runs as agenthall_app; pools.py explains LATERAL.
-- An instance that is open counts: it is active, and its health lets it take work.

-- name: search
-- The tenant is a range, so that only an index that begins with it has the order. The constant limit is for the planner.
select found.agent_id, found.queued, found.oldest_queued_seconds, found.offered, found.used, found.instances,
       found.slots, found.ejected, found.per_instance
  from mcp.act_for(:organization_id) as acting
 cross join lateral (
   select c.agent_id, waiting.queued, waiting.oldest_queued_seconds, offers.offered, ready.used, ready.instances,
          ready.slots, ready.ejected, coalesce(ready.slots::float8 / nullif(ready.instances, 0), c.max_workload, 1)
            as per_instance
     from (select c.*
             from mcp.agent_configurations c
            where acting and c.tenant_id >= :organization_id and c.tenant_id <= :organization_id and c.agent_id > :after
              and (:agent_id::text is null or c.agent_id = :agent_id)
            order by c.tenant_id, c.agent_id limit 1001) c
    cross join lateral (
      select count(*) as queued,
             coalesce(extract(epoch from clock_timestamp() - min(j.created_at)), 0)::float8 as oldest_queued_seconds
        from mcp.agent_jobs j
       where j.tenant_id = c.tenant_id and j.manifest_id = c.manifest_id and j.state = 'queued') as waiting
    cross join lateral (
      select count(*) as offered
        from mcp.agent_jobs j
       where j.tenant_id = c.tenant_id and j.manifest_id = c.manifest_id and j.state = 'offered') as offers
    cross join lateral (
      select count(*) filter (where s.is_open) as instances, coalesce(sum(s.used), 0)::bigint as used,
             coalesce(sum(least(s.slots, coalesce(c.max_workload, s.slots))) filter (where s.is_open), 0)::bigint
               as slots,
             count(*) filter (where s.is_open and s.ejected_until > clock_timestamp()) as ejected
        from mcp.agent_slots s
       where s.tenant_id = c.tenant_id and s.manifest_id = c.manifest_id) as ready
    limit :limit
   offset 0) as found
 order by found.agent_id

-- name: totals
-- Of all organizations, the :most agents with the most work, for metrics. Runs as agenthall_system.
select ranked.agent_id as agent, ranked.queued, ranked.oldest_queued_seconds, ranked.used, ranked.slots
  from (
    select sets.agent_id, sum(sets.queued)::bigint as queued, max(sets.oldest) as oldest_queued_seconds,
           sum(sets.used)::bigint as used, sum(sets.slots)::bigint as slots
      from (
        select j.agent_id, count(*) as queued,
               extract(epoch from clock_timestamp() - min(j.created_at))::float8 as oldest, 0 as used, 0 as slots
          from mcp.agent_jobs j
         where j.state = 'queued'
         group by j.agent_id
        union all
        select m.agent_id, 0, 0, sum(s.used), coalesce(sum(s.slots) filter (where s.is_open), 0)
          from mcp.agent_slots s
          join mcp.agent_manifests m on m.id = s.manifest_id
         group by m.agent_id) as sets
     group by sets.agent_id) as ranked
 order by ranked.queued + ranked.used desc, ranked.agent_id
 limit :most
