-- Jobs as an organization's operators see them, without what users wrote. Runs as agenthall_app; pools.py explains
-- LATERAL.

-- include: fragments

-- fragment: job_members
'job_id', j.id, 'agent_id', j.agent_id, 'state', j.state, 'run_id', j.run_id, 'thread_id', j.thread_id,
'attempt', j.attempt, 'max_attempts', j.max_attempts, 'retry', j.retry, 'registration_id', j.registration_id,
'epoch', j.epoch, 'instance_id', j.instance_id, 'required_capabilities', j.required_capabilities,
'required_tags', j.required_tags, 'zone', j.zone, 'affinity_key', j.affinity_key, 'events', j.applied_through,
'event_bytes', j.event_bytes, 'created_at', agenthall.iso(j.created_at), 'start_by', agenthall.iso(j.start_by),
'deadline', agenthall.iso(j.deadline), 'accepted_at', agenthall.iso(j.accepted_at),
'lease_expires_at', agenthall.iso(j.lease_expires_at), 'ended_at', agenthall.iso(j.ended_at),
'cancel_reason', j.cancel_reason, 'cancel_by', agenthall.iso(j.cancel_by), 'error', j.error

-- fragment: agent_id
j.manifest_id = (
  select c.manifest_id from mcp.agent_configurations c
   where c.tenant_id = :organization_id and c.agent_id = :agent_id)

-- fragment: open_state
-- The conditions of the partial indexes are written out.
j.ended_at is null and j.state = :state

-- fragment: unsuccessful_state
j.state in ('failed', 'cancelled', 'expired') and j.state = :state

-- fragment: state
j.state = :state

-- fragment: run_id
j.run_id = :run_id

-- fragment: thread_id
j.thread_id = :thread_id

-- fragment: registration_id
j.registration_id = :registration_id

-- fragment: after
(j.created_at, j.id) < (:after_at::timestamptz, :after_id::uuid)

-- template: search
-- The newest first. The tenant is a range, so that only an index that begins with it has the order. The constant limit
-- is for the planner.
select found.created_at, found.id, found.body, {bounded}
  from mcp.act_for(:organization_id) as acting
 cross join lateral (
   select j.created_at, j.id, json_build_object({job_members})::text as body
     from (select j.* from mcp.agent_jobs j
            where acting and j.tenant_id >= :organization_id and j.tenant_id <= :organization_id and {after}
              and {filters}
            order by j.tenant_id desc, j.created_at desc, j.id desc limit 1001) j
    limit :limit
   offset 0) as found
 order by found.created_at desc, found.id desc

-- template: search_by_key
-- Of one run or thread, which have few jobs.
select found.created_at, found.id, found.body, {bounded}
  from mcp.act_for(:organization_id) as acting
 cross join lateral (
   with matching as materialized (
     select j.* from mcp.agent_jobs j
      where acting and {key} and j.tenant_id = :organization_id and {after} and {filters})
   select j.created_at, j.id, json_build_object({job_members})::text as body
     from (select j.* from matching j order by j.created_at desc, j.id desc limit 1001) j
    limit :limit
   offset 0) as found
 order by found.created_at desc, found.id desc

-- name: search_by_instance
-- Of one instance: those that it has, which are few, and the latest of each of the :states that have ended. The instance
-- is a range, so that only the index that has it before the time has the order.
select found.created_at, found.id, found.body, {bounded}
  from mcp.act_for(:organization_id) as acting
 cross join lateral (
   with matching as materialized (
     select j.id, j.created_at from mcp.agent_jobs j
      where acting and j.tenant_id = :organization_id and j.registration_id = :registration_id and j.holds_slot
        and j.ended_at is null and j.state = any (:states::text[]) and {after}
      union all
     select ended.id, ended.created_at
       from unnest(:states::text[]) as s (state)
      cross join lateral (
        select latest.id, latest.created_at
          from (select j.id, j.created_at from mcp.agent_jobs j
                 where acting and j.tenant_id = :organization_id and j.registration_id >= :registration_id
                   and j.registration_id <= :registration_id and j.state = s.state and j.ended_at is not null and {after}
                 order by j.registration_id desc, j.created_at desc, j.id desc limit 1001) latest
         limit :limit) ended)
   select j.created_at, j.id, json_build_object({job_members})::text as body
     from (select m.id from matching m order by m.created_at desc, m.id desc limit :limit) newest
     join mcp.agent_jobs j on j.id = newest.id
   offset 0) as found
 order by found.created_at desc, found.id desc

-- name: find
-- With its last hundred offers.
select found.body
  from mcp.act_for(:organization_id) as acting
 cross join lateral (
   select json_build_object({job_members}, 'offers', (
            select coalesce(json_agg(json_build_object(
                     'attempt', o.attempt, 'registration_id', o.registration_id, 'instance_id', o.instance_id,
                     'epoch', o.epoch, 'chosen_by', o.chosen_by, 'share', o.share,
                     'offered_at', agenthall.iso(o.offered_at), 'accepted_at', agenthall.iso(o.accepted_at),
                     'ended_at', agenthall.iso(o.ended_at), 'outcome', o.outcome, 'detail', o.detail)
                     order by o.ordinal), '[]')
              from (select l.* from mcp.agent_job_offers l where l.job_id = j.id
                     order by l.ordinal desc limit 100) o))::text as body
     from mcp.agent_jobs j
    where acting and j.tenant_id = :organization_id and j.id = :job_id
   offset 0) as found

-- name: find_agent_id
select found.agent_id
  from mcp.act_for(:organization_id) as acting
 cross join lateral (
   select j.agent_id from mcp.agent_jobs j where acting and j.tenant_id = :organization_id and j.id = :job_id
   offset 0) as found
