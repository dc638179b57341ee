-- The default assistants of graphs. Runs as agenthall_system.

-- include: agent_sync/fragments

-- name: ensure_default_assistants
-- Creates those that are missing, and restores those that were retired or have another graph. A description is given to
-- an assistant that has none. Returns the graphs whose id another assistant has.
with named as (
  select n.assistant_id, n.graph_id, n.description
    from unnest(:assistant_ids::uuid[], :graph_ids::text[], :descriptions::text[])
         as n (assistant_id, graph_id, description)
), restored as (
  update agenthall.assistants a
     set name = case when a.graph_id = named.graph_id then a.name else named.graph_id end,
         version = case when a.graph_id = named.graph_id and (a.description is not null or named.description is null)
                        then a.version else {next_version} end,
         description = coalesce(a.description, named.description),
         graph_id = named.graph_id, retired_at = null, updated_at = clock_timestamp()
    from named
   where a.assistant_id = named.assistant_id and a.origin = 'graph'
     and (a.graph_id <> named.graph_id or a.retired_at is not null
          or a.description is null and named.description is not null)
), created as (
  insert into agenthall.assistants (assistant_id, graph_id, name, description, metadata, owner_id, visibility, origin)
  select named.assistant_id, named.graph_id, named.graph_id, named.description, '{"created_by": "system"}', 'system',
         'everyone', 'graph'
    from named
   where not exists (select from agenthall.assistants a where a.assistant_id = named.assistant_id)
   order by named.assistant_id
  on conflict (assistant_id) do nothing
)
select named.graph_id
  from named
  join agenthall.assistants a on a.assistant_id = named.assistant_id and a.origin <> 'graph'

-- name: retire_default_assistants
-- Retires those whose graph no living process serves. Their content, and so their version, does not change.
with gone as (
  select a.assistant_id from agenthall.assistants a
   where a.origin = 'graph' and a.retired_at is null
     and not exists (select from agenthall.workers w where a.graph_id = any (w.graph_ids) and w.until > now())
   order by a.assistant_id
     for no key update
)
update agenthall.assistants a
   set retired_at = clock_timestamp(), updated_at = clock_timestamp()
  from gone
 where a.assistant_id = gone.assistant_id
returning a.graph_id
