-- The first three parameters of a principal's query: identity, organisations, is admin. See database.py.

-- fragment: visible
-- a user's copy of a template is seen only while its user is a member of the agent's organisation
($3 or a.visibility = 'everyone' or (a.visibility = 'private' and a.owner_id = $1 and a.template_id is null)
 or ((a.visibility = 'organization' or (a.template_id is not null and a.owner_id = $1))
     and (a.organization_id = any (nullif($2, '*')::uuid[]) or ($2 = '*' and a.organization_id is not null))))

-- fragment: fresh
-- the catalogue was asked about this agent within $5
coalesce(s.checked_at > now() - $5::interval and s.last_action in ('created', 'updated', 'skipped'), false) as is_fresh

-- name: get
select found.body, found.from_catalogue, found.is_fresh, found.template_id, found.owner_id
  from agenthall.act_as($1, $2, $3) as acting
 cross join lateral (
   select agenthall.assistant_json(a)::text as body, a.catalogue_hash is not null as from_catalogue,
          {fresh}, a.template_id, a.owner_id
     from agenthall.assistants a
     left join agenthall.agent_sync s on s.agent_id = coalesce(a.template_id, a.assistant_id) and s.source = a.agent_source
    where acting and a.assistant_id = $4 and a.retired_at is null
      and {visible}
   offset 0) as found

-- name: resolve
-- What a run needs of an assistant; the same visibility as get.
select found.*
  from agenthall.act_as($1, $2, $3) as acting
 cross join lateral (
   select a.assistant_id, a.version, a.graph_id, a.config::text as config, a.context::text as context,
          a.metadata::text as metadata, a.catalogue_hash is not null as from_catalogue,
          {fresh}, a.template_id, a.owner_id
     from agenthall.assistants a
     left join agenthall.agent_sync s on s.agent_id = coalesce(a.template_id, a.assistant_id) and s.source = a.agent_source
    where acting and a.assistant_id = $4 and a.retired_at is null
      and {visible}
   offset 0) as found

-- name: search
-- $4 metadata, $5 graph, $6 name pattern, $7 limit + 1, $8 offset, $9 selected fields
select coalesce(found.body, '[]') as body, found.rows
  from agenthall.act_as($1, $2, $3) as acting
 cross join lateral (
   select json_agg(case when $9::text[] is null then page.body else (
                     select json_object_agg(field.key, field.value) from json_each(page.body) as field
                      where field.key = any ($9)) end order by page.position) filter (where page.position < $7)::text as body,
          count(*) as rows
     from (
       select agenthall.assistant_json(a) as body, row_number() over () as position
         from (
           select a.* from agenthall.assistants a
            where acting
              and a.retired_at is null and {visible}
              and ($4::jsonb is null or a.metadata @> $4)
              and ($5::text is null or a.graph_id = $5)
              and ($6::text is null or a.name ilike $6)
            order by {order}
            limit $7 offset $8) a) page
   offset 0) as found

-- name: insert
insert into agenthall.assistants as a
  (assistant_id, graph_id, name, description, config, context, metadata, owner_id, organization_id, visibility)
select $4, $5, $6, $7, $8::jsonb, $9::jsonb, $10::jsonb, $1, $11, 'private' from agenthall.act_as($1, $2, $3) as acting where acting
on conflict (assistant_id) do nothing
returning agenthall.assistant_json(a)::text as body

-- name: lock
-- Inside a transaction that acts as the principal: row-level security decides what is there.
select a.assistant_id, a.graph_id, a.owner_id, a.visibility, a.config::text as config, a.context::text as context,
       a.metadata::text as metadata, a.catalogue_hash is not null as from_catalogue
  from agenthall.assistants a where a.assistant_id = $1 and a.retired_at is null for update

-- name: update
update agenthall.assistants a
   set version = (select max(v.version) from agenthall.assistant_versions v where v.assistant_id = a.assistant_id) + 1,
       graph_id = coalesce($2, a.graph_id), name = coalesce($3, a.name),
       description = case when $5::boolean then $4 else a.description end,
       config = coalesce($6, a.config), context = coalesce($7, a.context), metadata = a.metadata || coalesce($8::jsonb, '{}'),
       updated_at = clock_timestamp()
 where a.assistant_id = $1
returning agenthall.assistant_json(a)::text as body

-- name: delete
delete from agenthall.assistants a where a.assistant_id = $1 returning a.assistant_id

-- name: lock_threads
-- The threads that the assistant ran on, in the order in which everybody locks them (0004_runs.sql, rule 4).
select t.thread_id from agenthall.threads t
 where t.metadata @> jsonb_build_object('assistant_id', $1::text)
 order by t.thread_id for update

-- name: lock_runs
select r.run_id from agenthall.runs r where r.thread_id = any ($1::uuid[]) and r.status in ('pending', 'running')
 order by r.run_id for update

-- name: delete_threads
delete from agenthall.threads t where t.thread_id = any ($1::uuid[])

-- name: ensure_default
insert into agenthall.assistants (assistant_id, graph_id, name, metadata, owner_id, visibility)
values ($1, $2, $2, '{"created_by": "system"}', 'system', 'everyone')
on conflict (assistant_id) do nothing
