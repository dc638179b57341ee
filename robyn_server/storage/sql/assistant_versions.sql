-- Versions of assistants. Runs as agenthall_app. `find` and `restore` run in a transaction that acts as the principal.

-- include: fragments

-- name: search
-- Reads the versions of one assistant, newest first, until the page is full.
select found.body
  from agenthall.act_as(:identity, :organizations, :is_admin, :grants) as acting
 cross join lateral (
   select '[' || coalesce({joined}, '') || ']' as body
     from (select found.body, {bounded}
             from (select agenthall.version_json(v)::text as body from agenthall.assistant_versions v
                    where acting and v.assistant_id = :assistant_id and v.metadata @> :metadata::jsonb
                    order by v.version desc
                    limit :limit::bigint offset :offset::bigint) found) page
   offset 0) as found

-- name: find
select v.graph_id, v.config::text as config, v.context::text as context
  from agenthall.assistant_versions v
 where v.assistant_id = :assistant_id and v.version = :version

-- name: restore
-- The assistant has the content and the number of the version then. The next update raises the highest number.
update agenthall.assistants a
   set version = v.version, graph_id = v.graph_id, name = v.name, description = v.description, config = v.config,
       context = v.context, metadata = v.metadata, updated_at = clock_timestamp()
  from agenthall.assistant_versions v
 where a.assistant_id = :assistant_id and v.assistant_id = a.assistant_id and v.version = :version
returning agenthall.assistant_json(a)::text as body
