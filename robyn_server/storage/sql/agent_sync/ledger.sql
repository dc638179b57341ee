-- The table agent_sync: one row for each agent and source. Runs as agenthall_system.

-- name: fresh
select exists (
  select from agenthall.agent_sync s
   where s.agent_id = :agent_id and s.source = :source and s.checked_at > now() - :ttl::interval
     and s.checked_at < now() + :ttl::interval
     and s.last_action in ('created', 'updated', 'skipped')) as is_fresh

-- name: record
-- Sorting by id keeps two replicas from deadlocking. A failure keeps a pending write-back pending.
-- `missing` is recorded for known agents only, because a caller may ask for any id.
insert into agenthall.agent_sync as s
  (agent_id, source, assistant_id, checked_at, last_action, failure, write_back_pending)
select o.agent_id, :source, o.assistant_id, now(), o.last_action, o.failure, o.write_back_pending
  from unnest(:agent_ids::uuid[], :assistant_ids::uuid[], :actions::text[], :failures::text[],
              :write_backs_pending::boolean[])
       as o (agent_id, assistant_id, last_action, failure, write_back_pending)
 where o.last_action <> 'missing' or exists (
         select from agenthall.agent_sync known where known.agent_id = o.agent_id and known.source = :source)
 order by o.agent_id
on conflict (agent_id, source) do update
   set assistant_id = coalesce(excluded.assistant_id, s.assistant_id),
       checked_at = excluded.checked_at,
       last_action = excluded.last_action,
       failure = excluded.failure,
       write_back_pending = case when excluded.last_action in ('failed', 'missing') then s.write_back_pending
                                 else excluded.write_back_pending end

-- name: failing
select s.agent_id from agenthall.agent_sync s
 where s.failure is not null and s.source = :source and (:after::uuid is null or s.agent_id > :after)
 order by s.agent_id
 limit :limit

-- name: count_failing
select count(*) from agenthall.agent_sync s where s.failure is not null and s.source = :source

-- name: pending_write_backs
select s.agent_id, s.assistant_id from agenthall.agent_sync s
 where s.write_back_pending and s.assistant_id is not null and s.last_action <> 'missing' and s.source = :source
   and (:after::uuid is null or s.agent_id > :after)
 order by s.agent_id
 limit :limit

-- name: written_back
update agenthall.agent_sync s set write_back_pending = false
 where s.agent_id = any (:agent_ids::uuid[]) and s.source = :source and s.write_back_pending
