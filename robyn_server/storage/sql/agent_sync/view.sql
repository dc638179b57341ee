-- Results of agent sync for operators, read only. Runs as agenthall_system.

-- include: fragments

-- fragment: assistant
a.assistant_id, a.graph_id, a.name, a.description, a.config::text as config, a.metadata::text as metadata, a.owner_id,
       a.retired_at, a.template_id, a.origin

-- fragment: in_service
a.origin = :source and a.retired_at is null

-- fragment: after
s.agent_id > :after::uuid

-- template: failures
-- `found.body` is not returned. It is about as long as the failure in the answer.
select s.agent_id, s.source, s.failure, s.checked_at, s.name, {bounded}
  from (select s.agent_id, s.source, s.failure, s.checked_at, (
                 select a.name from agenthall.assistants a
                  where a.assistant_id = s.agent_id and a.origin = s.source) as name
          from (select s.agent_id, s.source, s.failure, s.checked_at from agenthall.agent_sync s
                 where s.failure is not null and {filters}
                 order by s.agent_id, s.source {depth}) s
         limit :limit) s
 cross join lateral (select row_to_json(s)::text as body offset 0) as found
 order by s.agent_id, s.source

-- name: count_problems
select count(*) filter (where s.failure is not null) as failures,
       count(*) filter (where s.write_back_pending and s.last_action <> 'missing') as pending_write_backs
  from agenthall.agent_sync s
 where s.failure is not null or s.write_back_pending

-- name: assistants
select {assistant}
  from agenthall.assistants a
 where a.assistant_id = any (:assistant_ids::uuid[])

-- name: absent
-- The assistants that retire_absent would retire. A null :organization_ids means all organizations.
select a.assistant_id, a.name
  from agenthall.assistants a
 where (:after::uuid is null or a.assistant_id > :after) and (:last::uuid is null or a.assistant_id <= :last)
   and a.template_id is null and {in_service}
   and not (a.assistant_id = any (:present::uuid[]))
   and (:organization_ids::uuid[] is null or a.organization_id = any (:organization_ids::uuid[]))
 order by a.assistant_id

-- name: absent_copies
-- The agents whose copies retire_absent_copies would retire.
select a.template_id as assistant_id, min(a.name) as name
  from agenthall.assistants a
 where (:after::uuid is null or a.template_id > :after) and (:last::uuid is null or a.template_id <= :last)
   and a.template_id is not null and {in_service}
   and not (a.template_id = any (:present::uuid[]))
   and (:organization_ids::uuid[] is null or a.organization_id = any (:organization_ids::uuid[]))
 group by a.template_id
 order by a.template_id

-- name: copies
select {assistant}
  from agenthall.assistants a
 where a.template_id = any (:agent_ids::uuid[])
 order by a.template_id, a.assistant_id

-- name: changes_since
-- Outcomes of all replicas since then, skipped agents left out. `total` counts them without the limit.
select c.agent_id, c.action, c.failure, count(*) over () as total,
       coalesce(a.name, (
         select min(copy.name) from agenthall.assistants copy where copy.template_id = c.agent_id)) as name
  from (select s.agent_id, s.last_action as action, s.failure from agenthall.agent_sync s
         where s.checked_at >= :since and s.source = :source and s.last_action in ('created', 'updated', 'failed')
        union all
        select distinct coalesce(gone.template_id, gone.assistant_id), 'retired', null from agenthall.assistants gone
         where gone.retired_at >= :since and gone.origin = :source) c
  left join agenthall.assistants a on a.assistant_id = c.agent_id and a.origin = :source
 order by c.action = 'failed' desc, c.agent_id
 limit :limit

-- name: count_checked_since
select count(*) from agenthall.agent_sync s where s.checked_at >= :since
