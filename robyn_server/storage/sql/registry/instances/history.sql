-- Histories of instances. Works as agenthall_app.

-- name: find
-- The entries, the newest first, the circuit breaker (null: the instance takes no jobs), the last check over HTTP (null:
-- it is not checked), and how its jobs ended.
select found.entries::text as entries, found.breaker::text as breaker, found.health_check::text as health_check,
       found.succeeded, found.failed, found.rejected, found.running
  from mcp.act_for(:organization_id) as acting
 cross join lateral (
   select coalesce((
            select json_agg(json_build_object(
                     'at', agenthall.iso(h.at), 'kind', h.kind, 'epoch', h.epoch, 'detail', h.detail)
                     order by h.ordinal desc, h.id desc)
              from (select l.id, l.ordinal, l.at, l.kind, l.epoch, l.detail from mcp.agent_instance_history l
                     where l.tenant_id = i.tenant_id and l.registration_id = i.id
                     order by l.ordinal desc limit 100) as h), '[]') as entries,
          (select json_build_object(
                    'state', mcp.breaker_state(s, clock_timestamp()), 'failures', s.failures, 'ejections', s.ejections,
                    'reason', s.ejection_reason, 'until', agenthall.iso(s.ejected_until))
             from mcp.agent_slots s where s.registration_id = i.id) as breaker,
          (select json_build_object(
                    'checked_at', agenthall.iso(k.checked_at), 'failures', k.failures, 'error', k.error)
             from mcp.agent_checks k where k.registration_id = i.id) as health_check,
          coalesce(c.succeeded, 0) as succeeded, coalesce(c.failed, 0) as failed, coalesce(c.rejected, 0) as rejected,
          (select count(*) from mcp.agent_jobs j
            where j.registration_id = i.id and j.holds_slot and j.state = 'running') as running
     from mcp.agent_instances i
     left join mcp.agent_job_counts c on c.tenant_id = i.tenant_id and c.registration_id = i.id
    where acting and i.tenant_id = :organization_id and i.id = :registration_id
   offset 0) as found
