-- Assistants as a principal sees and changes them. Runs as agenthall_app; pools.py explains act_as and LATERAL.
-- `lock`, `update` and `delete` run in a transaction that acts as the principal, so row-level security decides.

-- include: fragments

-- fragment: visible
-- A user's copy of a template is visible only while the user is a member of the agent's organization.
(:is_admin or :grants::text is not null or a.visibility = 'everyone'
 or (a.visibility = 'private' and a.owner_id = :identity and a.template_id is null)
 or ((a.visibility = 'organization' or (a.template_id is not null and a.owner_id = :identity))
     and (a.organization_id = any (nullif(:organizations, '*')::uuid[])
          or (:organizations = '*' and a.organization_id is not null))))

-- fragment: fresh
-- Whether the catalogue was asked about this agent within :ttl. A time in the future is that of a clock set back.
coalesce(s.checked_at > now() - :ttl::interval and s.checked_at < now() + :ttl::interval and s.last_action in ('created', 'updated', 'skipped'), false)
  as is_fresh

-- name: find
select found.body, found.origin, found.is_fresh, found.template_id, found.owner_id
  from agenthall.act_as(:identity, :organizations, :is_admin, :grants) as acting
 cross join lateral (
   select agenthall.assistant_json(a)::text as body, a.origin,
          {fresh}, a.template_id, a.owner_id
     from agenthall.assistants a
     left join agenthall.agent_sync s
       on s.agent_id = coalesce(a.template_id, a.assistant_id) and s.source = a.origin
    where acting and a.assistant_id = :assistant_id and a.retired_at is null
      and {visible}
   offset 0) as found

-- name: resolve
-- The columns that a run needs, under the visibility of `find`.
select found.*
  from agenthall.act_as(:identity, :organizations, :is_admin, :grants) as acting
 cross join lateral (
   select a.assistant_id, a.version, a.graph_id, a.config::text as config, a.context::text as context,
          a.metadata::text as metadata, a.origin,
          {fresh}, a.template_id, a.owner_id
     from agenthall.assistants a
     left join agenthall.agent_sync s
       on s.agent_id = coalesce(a.template_id, a.assistant_id) and s.source = a.origin
    where acting and a.assistant_id = :assistant_id and a.retired_at is null
      and {visible}
   offset 0) as found

-- name: find_callable
-- Assistants that an agent may call as tools, under the visibility of `find`. `agent_id`: of a user's copy, the agent's.
select found.*
  from agenthall.act_as(:identity, :organizations, :is_admin, :grants) as acting
 cross join lateral (
   select coalesce(a.template_id, a.assistant_id) as agent_id, a.assistant_id, a.graph_id, a.name, a.description,
          a.config::text as config, a.context::text as context
     from agenthall.assistants a
    where acting and a.assistant_id = any (:assistant_ids) and a.retired_at is null
      and {visible}
    order by a.template_id is null desc
   offset 0) as found

-- name: find_former
-- The assistant of an agent that may not be offered any more, retired or not, or the retired default assistant of a
-- graph, under the visibility of `find`.
select found.name, found.retired_at, found.unserved_graph
  from agenthall.act_as(:identity, :organizations, :is_admin, :grants) as acting
 cross join lateral (
   select a.name, agenthall.iso(a.retired_at) as retired_at,
          case when a.origin = 'graph' then a.graph_id end as unserved_graph
     from agenthall.assistants a
    where acting and a.assistant_id = :assistant_id and {visible}
      and (a.origin in ('catalogue', 'configuration', 'instances') or (a.origin = 'graph' and a.retired_at is not null))
   offset 0) as found

-- fragment: page
-- Ends a search, whose steps storage/postgres/search.py explains. `listed` holds the ids of the first :last + 1 assistants, in
-- order, with their positions. `is_cut`: an assistant that was not looked at may belong before this position.
select (
  select {joined}
    from (select found.body, {bounded}
            from (select l.assistant_id from listed l
                   where l.position > :offset::bigint and l.position <= :last::bigint
                   order by l.position
                  offset 0) l
           cross join lateral (
             select {selected_body}::text as body
               from (select agenthall.assistant_json(a) as body from agenthall.assistants a
                      where acting and a.assistant_id = l.assistant_id and {visible}
                     offset 0) page
             offset 0) as found) page) as body,
  count(*) filter (where l.position > :offset) as rows, coalesce(bool_or(l.is_cut), false) as is_cut
  from listed l

-- fragment: everybody
(select 'everybody') as reader (audience)

-- fragment: all
true

-- fragment: index_of_all
-- the index of the order itself

-- fragment: audiences
unnest(:audiences::text[]) as reader (audience)

-- fragment: of_audience
-- A range, so that only an index that begins with the audience has the order.
a.audience >= reader.audience and a.audience <= reader.audience

-- fragment: index_of_audience
a.audience {direction},

-- fragment: graph_ids
a.graph_id = any (:graph_ids::text[])

-- fragment: metadata
a.metadata @> :metadata::jsonb

-- fragment: name
strpos(lower(a.name), lower(:name)) > 0

-- fragment: by_assistant_id
a.assistant_id {direction}

-- fragment: by_created_at
a.created_at {direction}, a.assistant_id {direction}

-- fragment: by_updated_at
a.updated_at {direction}, a.assistant_id {direction}

-- fragment: by_graph_id
a.graph_id {direction}, a.assistant_id {direction}

-- fragment: by_name
-- The index has 255 characters of a name.
"left"(a.name, 255) {direction}, a.assistant_id {direction}

-- template: search_in_order
-- Walks the index of the order for each audience, at most :most assistants far.
select found.body, found.rows, found.is_cut
  from agenthall.act_as(:identity, :organizations, :is_admin, :grants) as acting
 cross join lateral (
   with listed as materialized (
     select a.assistant_id, a.is_cut, row_number() over () as position
       from (select a.assistant_id, a.is_cut
               from {readers}
              cross join lateral (
                select a.assistant_id, a.graph_id, a.name, a.created_at, a.updated_at, a.place = :most as is_cut
                  from (select a.*, row_number() over () as place
                          from (select a.*
                                  from (select a.* from agenthall.assistants a
                                         where acting and a.retired_at is null and {readable}
                                         order by {index}
                                                  {order} {depth}) a
                                 limit :most::bigint) a) a
                 where {visible} and {filters} or a.place = :most
                 limit :last::bigint + 1) a
              order by {order}
              limit :last::bigint + 1) a)
   {page}
   offset 0) as found

-- name: search_granted
-- As search_in_order, for a principal whose grants have conditions: no policy lets it walk past other rows.
select found.body, found.rows, found.is_cut
  from agenthall.act_as(:identity, :organizations, :is_admin, :grants) as acting
 cross join lateral (
   with listed as materialized (
     select a.assistant_id, a.is_cut, row_number() over () as position
       from agenthall.walk_granted_assistants(
         :order, :descending, :metadata, :graph_ids, :name, :most, :last::bigint + 1) a
      where acting)
   {page}
   offset 0) as found

-- template: search_by_filters
-- Looks up at most :most assistants in the inverted index, and sorts them.
select found.body, found.rows, found.is_cut
  from agenthall.act_as(:identity, :organizations, :is_admin, :grants) as acting
 cross join lateral (
   with listed as materialized (
     select a.assistant_id, a.is_cut, row_number() over () as position
       from (select a.assistant_id, count(*) over () >= :most as is_cut
               from agenthall.find_matching_assistants(:metadata, :graph_ids, :name, :most) a
              where acting
              order by {order}
              limit :last::bigint + 1) a)
   {page}
   offset 0) as found

-- name: count
-- Counts the assistants that a search with these filters finds.
select found.count
  from agenthall.act_as(:identity, :organizations, :is_admin, :grants) as acting
 cross join lateral (
   select agenthall.count_matching_assistants(:metadata, :graph_ids, :name) as count where acting
   offset 0) as found

-- name: create
insert into agenthall.assistants as a
  (assistant_id, graph_id, name, description, config, context, metadata, owner_id, organization_id, visibility)
select :assistant_id, :graph_id, :name, :description, :config::jsonb, :context::jsonb, :metadata::jsonb, :identity,
       :organization_id, 'private'
  from agenthall.act_as(:identity, :organizations, :is_admin, :grants) as acting
 where acting and agenthall.set_actor(:identity, :request_id)
on conflict (assistant_id) do nothing
returning agenthall.assistant_json(a)::text as body

-- name: lock
select a.assistant_id, a.graph_id, a.owner_id, a.visibility, a.config::text as config, a.context::text as context,
       a.metadata::text as metadata, a.origin
  from agenthall.assistants a
 where a.assistant_id = :assistant_id and a.retired_at is null
   for update

-- name: update
update agenthall.assistants a
   set version = (
         select max(v.version) from agenthall.assistant_versions v where v.assistant_id = a.assistant_id) + 1,
       graph_id = coalesce(:graph_id, a.graph_id), name = coalesce(:name, a.name),
       description = case when :sets_description::boolean then :description else a.description end,
       config = coalesce(:config, a.config), context = coalesce(:context, a.context),
       metadata = a.metadata || coalesce(:metadata::jsonb, '{}'),
       updated_at = clock_timestamp()
 where a.assistant_id = :assistant_id
returning agenthall.assistant_json(a)::text as body

-- name: delete
delete from agenthall.assistants a where a.assistant_id = :assistant_id and a.retired_at is null
returning a.assistant_id

-- name: delete_threads_lock
-- The threads that the assistant ran on, in the common lock order (0004_runs.sql, rule 4).
select t.thread_id from agenthall.threads t
 where t.thread_id = any (array(
   select found.thread_id
     from agenthall.find_matching_threads(
       jsonb_build_object('assistant_id', :assistant_id::text), null, null, null) as found))
 order by t.thread_id
   for update

-- name: delete_threads_lock_runs
-- Also those that have ended: a flush that waited while its run ended holds that run until it has all of its runs.
select r.run_id from agenthall.runs r
 where r.thread_id = any (:thread_ids::uuid[])
 order by r.run_id
   for update

-- name: delete_threads
delete from agenthall.threads t where t.thread_id = any (:thread_ids::uuid[])
