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

-- name: failures
-- $1 after this agent (null: from the first), $2 limit
select s.agent_id, s.failure, s.checked_at, a.name
  from agenthall.agent_sync s
  left join agenthall.assistants a on a.assistant_id = s.agent_id and a.catalogue_hash is not null
 where s.failure is not null and ($1::uuid is null or s.agent_id > $1)
 order by s.agent_id
 limit $2

-- name: trouble
select count(*) filter (where s.failure is not null) as failures,
       count(*) filter (where s.write_back_pending and s.last_action <> 'missing') as owed_write_backs
  from agenthall.agent_sync s
 where s.failure is not null or s.write_back_pending

-- name: assistants
-- $1 ids; whoever owns them
select a.assistant_id, a.graph_id, a.name, a.description, a.config::text as config, a.metadata::text as metadata, a.owner_id,
       a.retired_at, a.catalogue_hash is not null as from_catalogue
  from agenthall.assistants a where a.assistant_id = any ($1::uuid[])

-- name: absent
-- As retire_absent, which would retire them: in service, after $1 up to $2, not among $3; of the organisations $4 (null: of any).
select a.assistant_id, a.name
  from agenthall.assistants a
 where ($1::uuid is null or a.assistant_id > $1) and ($2::uuid is null or a.assistant_id <= $2)
   and a.catalogue_hash is not null and a.retired_at is null
   and not (a.assistant_id = any ($3::uuid[]))
   and ($4::uuid[] is null or a.organization_id = any ($4::uuid[]))
 order by a.assistant_id

-- name: changes_since
-- $1 moment, $2 limit. What syncs came to since then, wherever they ran, without what was skipped. `total`: without the limit.
select c.agent_id, c.action, c.failure, a.name, count(*) over () as total
  from (select s.agent_id, s.last_action as action, s.failure from agenthall.agent_sync s
         where s.checked_at >= $1 and s.last_action in ('created', 'updated', 'failed')
        union all
        select gone.assistant_id, 'retired', null from agenthall.assistants gone
         where gone.retired_at >= $1 and gone.catalogue_hash is not null) c
  left join agenthall.assistants a on a.assistant_id = c.agent_id and a.catalogue_hash is not null
 order by c.action = 'failed' desc, c.agent_id
 limit $2

-- name: looked_at_since
-- $1 moment
select count(*) from agenthall.agent_sync s where s.checked_at >= $1
