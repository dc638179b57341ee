-- name: is_fresh
-- $1 agent, $2 ttl, $3 source
select exists (
  select from agenthall.agent_sync s
   where s.agent_id = $1 and s.source = $3 and s.checked_at > now() - $2::interval and s.last_action in ('created', 'updated', 'skipped')) as is_fresh

-- name: record
-- One line per agent; in the order of ids, so that two replicas never wait for each other crosswise. A failure leaves an owed
-- write-back owed. $6 source. That an agent is missing is noted only of one that was known: anybody may ask for any id.
insert into agenthall.agent_sync as s (agent_id, source, assistant_id, checked_at, last_action, failure, write_back_pending)
select o.agent_id, $6, o.assistant_id, now(), o.last_action, o.failure, o.write_back_pending
  from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::boolean[])
       as o (agent_id, assistant_id, last_action, failure, write_back_pending)
 where o.last_action <> 'missing' or exists (select from agenthall.agent_sync known where known.agent_id = o.agent_id and known.source = $6)
 order by o.agent_id
on conflict (agent_id, source) do update
   set assistant_id = coalesce(excluded.assistant_id, s.assistant_id),
       checked_at = excluded.checked_at,
       last_action = excluded.last_action,
       failure = excluded.failure,
       write_back_pending = case when excluded.last_action in ('failed', 'missing') then s.write_back_pending
                                 else excluded.write_back_pending end

-- name: pending_write_backs
-- $1 limit, $2 source
select s.agent_id, s.assistant_id from agenthall.agent_sync s
 where s.write_back_pending and s.assistant_id is not null and s.last_action <> 'missing' and s.source = $2
 order by s.agent_id
 limit $1

-- name: written_back
-- $1 agents, $2 source
update agenthall.agent_sync s set write_back_pending = false where s.agent_id = any ($1::uuid[]) and s.source = $2 and s.write_back_pending

-- name: failures
-- $1 after this agent (null: from the first), $2 limit
select s.agent_id, s.source, s.failure, s.checked_at, a.name
  from agenthall.agent_sync s
  left join agenthall.assistants a on a.assistant_id = s.agent_id and a.catalogue_hash is not null and a.agent_source = s.source
 where s.failure is not null and ($1::uuid is null or s.agent_id > $1)
 order by s.agent_id, s.source
 limit $2

-- name: trouble
select count(*) filter (where s.failure is not null) as failures,
       count(*) filter (where s.write_back_pending and s.last_action <> 'missing') as owed_write_backs
  from agenthall.agent_sync s
 where s.failure is not null or s.write_back_pending

-- name: assistants
-- $1 ids; whoever owns them
select a.assistant_id, a.graph_id, a.name, a.description, a.config::text as config, a.metadata::text as metadata, a.owner_id,
       a.retired_at, a.catalogue_hash is not null as from_catalogue, a.agent_source
  from agenthall.assistants a where a.assistant_id = any ($1::uuid[])

-- name: absent
-- As retire_absent, which would retire them: in service, after $1 up to $2, not among $3; of the organisations $4 (null: of any); $5 source.
select a.assistant_id, a.name
  from agenthall.assistants a
 where ($1::uuid is null or a.assistant_id > $1) and ($2::uuid is null or a.assistant_id <= $2)
   and a.template_id is null and a.catalogue_hash is not null and a.agent_source = $5 and a.retired_at is null
   and not (a.assistant_id = any ($3::uuid[]))
   and ($4::uuid[] is null or a.organization_id = any ($4::uuid[]))
 order by a.assistant_id

-- name: absent_copies
-- As retire_absent_copies, which would retire them: a line for each agent that users have copies of in service.
select a.template_id as assistant_id, min(a.name) as name
  from agenthall.assistants a
 where ($1::uuid is null or a.template_id > $1) and ($2::uuid is null or a.template_id <= $2)
   and a.template_id is not null and a.catalogue_hash is not null and a.agent_source = $5 and a.retired_at is null
   and not (a.template_id = any ($3::uuid[]))
   and ($4::uuid[] is null or a.organization_id = any ($4::uuid[]))
 group by a.template_id
 order by a.template_id

-- name: copies
-- $1 agents
select a.assistant_id, a.template_id, a.graph_id, a.name, a.description, a.config::text as config, a.metadata::text as metadata,
       a.owner_id, a.retired_at, a.catalogue_hash is not null as from_catalogue, a.agent_source
  from agenthall.assistants a where a.template_id = any ($1::uuid[])
 order by a.template_id, a.assistant_id

-- name: changes_since
-- $1 moment, $2 limit, $3 source. What syncs came to since then, wherever they ran, without what was skipped. `total`: without the limit.
select c.agent_id, c.action, c.failure, count(*) over () as total,
       coalesce(a.name, (select min(copy.name) from agenthall.assistants copy where copy.template_id = c.agent_id)) as name
  from (select s.agent_id, s.last_action as action, s.failure from agenthall.agent_sync s
         where s.checked_at >= $1 and s.source = $3 and s.last_action in ('created', 'updated', 'failed')
        union all
        select distinct coalesce(gone.template_id, gone.assistant_id), 'retired', null from agenthall.assistants gone
         where gone.retired_at >= $1 and gone.catalogue_hash is not null and gone.agent_source = $3) c
  left join agenthall.assistants a on a.assistant_id = c.agent_id and a.catalogue_hash is not null
 order by c.action = 'failed' desc, c.agent_id
 limit $2

-- name: looked_at_since
-- $1 moment
select count(*) from agenthall.agent_sync s where s.checked_at >= $1

-- name: note_pass
-- $1 scope, $2 replica, $3 started, $4 seconds, $5 counters as JSON, $6 failure, $7 passes to keep of a scope, $8 scopes to keep.
with noted as (
  insert into agenthall.agent_sync_passes (scope, replica, started_at, seconds, counters, failure)
  values ($1, $2, $3, $4, $5::json, $6)
), scopes as (
  select p.scope from agenthall.agent_sync_passes p where p.scope <> $1 group by p.scope order by max(p.pass_id) desc limit $8::int - 1
), kept as (
  select p.pass_id from agenthall.agent_sync_passes p where p.scope = $1 order by p.pass_id desc limit $7::int - 1
)
delete from agenthall.agent_sync_passes old
 where (old.scope = $1 and old.pass_id not in (select kept.pass_id from kept))
    or (old.scope <> $1 and old.scope not in (select scopes.scope from scopes))

-- name: last_passes
-- $1 passes of each scope. The scope of the latest pass first, of each scope the latest pass first.
select p.scope, p.replica, p.started_at, p.finished_at, p.seconds, p.counters::text as counters, p.failure
  from (select each.scope, each.replica, each.started_at, each.finished_at, each.seconds, each.counters, each.failure, each.pass_id,
               row_number() over (partition by each.scope order by each.pass_id desc) as place,
               max(each.pass_id) over (partition by each.scope) as latest
          from agenthall.agent_sync_passes each) p
 where p.place <= $1
 order by p.latest desc, p.pass_id desc
