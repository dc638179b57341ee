-- name: is_fresh
-- $1 agent, $2 ttl
select exists (
  select from agenthall.agent_sync s
   where s.agent_id = $1 and s.checked_at > now() - $2::interval and s.last_action in ('created', 'updated', 'skipped')) as is_fresh

-- name: record
-- One line per agent; in the order of ids, so that two replicas never wait for each other crosswise. A failure leaves an owed
-- write-back owed. That an agent is missing is noted only of one that was known: anybody may ask for any id.
insert into agenthall.agent_sync as s (agent_id, assistant_id, checked_at, last_action, failure, write_back_pending)
select o.agent_id, o.assistant_id, now(), o.last_action, o.failure, o.write_back_pending
  from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::boolean[])
       as o (agent_id, assistant_id, last_action, failure, write_back_pending)
 where o.last_action <> 'missing' or exists (select from agenthall.agent_sync known where known.agent_id = o.agent_id)
 order by o.agent_id
on conflict (agent_id) do update
   set assistant_id = coalesce(excluded.assistant_id, s.assistant_id),
       checked_at = excluded.checked_at,
       last_action = excluded.last_action,
       failure = excluded.failure,
       write_back_pending = case when excluded.last_action in ('failed', 'missing') then s.write_back_pending
                                 else excluded.write_back_pending end

-- name: pending_write_backs
-- $1 limit
select s.agent_id, s.assistant_id from agenthall.agent_sync s
 where s.write_back_pending and s.assistant_id is not null and s.last_action <> 'missing'
 order by s.agent_id
 limit $1

-- name: written_back
-- $1 agents
update agenthall.agent_sync s set write_back_pending = false where s.agent_id = any ($1::uuid[]) and s.write_back_pending
