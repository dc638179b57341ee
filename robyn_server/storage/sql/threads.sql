-- Threads as a principal sees and changes them. Runs as agenthall_app; pools.py explains act_as and LATERAL.
-- `update_metadata` and `delete` run in a transaction that acts as the principal, so row-level security decides.

-- include: fragments

-- fragment: own
(:is_admin or :grants::text is not null or t.owner_id = :identity)

-- name: create
-- Without a ttl the thread gets the session's.
insert into agenthall.threads as t (thread_id, owner_id, organization_id, metadata, ttl, ttl_strategy)
select :thread_id, :identity, :organization_id, :metadata::jsonb, :ttl::interval, :ttl_strategy::text
  from agenthall.act_as(:identity, :organizations, :is_admin, :grants) as acting
 where acting
on conflict (thread_id) do nothing
returning agenthall.thread_json(t)::text as body

-- name: find
select found.body
  from agenthall.act_as(:identity, :organizations, :is_admin, :grants) as acting
 cross join lateral (
   select agenthall.thread_json(t)::text as body from agenthall.threads t
    where acting and t.thread_id = :thread_id and {own}
   offset 0) as found

-- name: find_with_ttl
select found.body, found.ttl
  from agenthall.act_as(:identity, :organizations, :is_admin, :grants) as acting
 cross join lateral (
   select agenthall.thread_json(t)::text as body, agenthall.thread_ttl_json(t)::text as ttl from agenthall.threads t
    where acting and t.thread_id = :thread_id and {own}
   offset 0) as found

-- name: find_graph
-- `configurable` is the one of the thread's last run.
select found.*
  from agenthall.act_as(:identity, :organizations, :is_admin, :grants) as acting
 cross join lateral (
   select t.thread_id, t.metadata ->> 'graph_id' as graph_id,
          (select r.kwargs -> 'config' ->> 'configurable' from agenthall.runs r
            where r.thread_id = t.thread_id order by r.run_id desc limit 1) as configurable
     from agenthall.threads t
    where acting and t.thread_id = :thread_id and {own}
   offset 0) as found

-- name: lock
-- Nobody can start a run on the thread until the transaction ends. A run that is due much later does not matter.
select t.metadata ->> 'graph_id' as graph_id,
       (select r.kwargs -> 'config' ->> 'configurable' from agenthall.runs r
         where r.thread_id = t.thread_id order by r.run_id desc limit 1) as configurable,
       exists (select from agenthall.runs r
                where r.thread_id = t.thread_id
                  and (r.status = 'running' or r.status = 'pending' and r.run_at <= now() + interval '5 s')) as is_busy
  from agenthall.threads t
 where t.thread_id = :thread_id
   for update

-- name: set_state
update agenthall.threads t
   set "values" = :values::jsonb, status = case when t.status = 'busy' then t.status else :status end,
       settled_status = :status, error = null, interrupts = :interrupts::jsonb, updated_at = clock_timestamp(),
       state_updated_at = clock_timestamp()
 where t.thread_id = :thread_id

-- name: update_metadata
-- After a run, `graph_id` and `assistant_id` are the server's: they name what ran last.
update agenthall.threads t
   set updated_at = clock_timestamp(),
       metadata = t.metadata || :metadata || case
         when exists (select from agenthall.runs r where r.thread_id = t.thread_id) then jsonb_strip_nulls(
           jsonb_build_object('graph_id', t.metadata -> 'graph_id', 'assistant_id', t.metadata -> 'assistant_id'))
         else '{}' end
 where t.thread_id = :thread_id
returning agenthall.thread_json(t)::text as body

-- name: update_ttl
update agenthall.threads t set ttl = :ttl, ttl_strategy = :ttl_strategy where t.thread_id = :thread_id

-- name: copy
-- A run of the copied thread is not copied, so the copy is busy with none. Its ttl begins now. The lock keeps checkpoints
-- from being pruned until they are copied.
insert into agenthall.threads as t
  (thread_id, owner_id, organization_id, status, metadata, config, "values", error, interrupts, ttl, ttl_strategy)
select :new_id, :identity, o.organization_id, case o.status when 'busy' then 'idle' else o.status end,
       o.metadata || :metadata::jsonb, o.config,
       o."values", o.error, o.interrupts, o.ttl, o.ttl_strategy
  from agenthall.threads o
 where o.thread_id = :thread_id and not o.ephemeral
   for key share of o
returning agenthall.thread_json(t)::text as body

-- name: copy_checkpoints
select agenthall.copy_checkpoints(:thread_id, :new_id)

-- name: count
select found.count
  from agenthall.act_as(:identity, :organizations, :is_admin, :grants) as acting
 cross join lateral (
   select agenthall.count_matching_threads(:metadata, :values, :status, :text) as count where acting
   offset 0) as found

-- name: delete
delete from agenthall.threads t where t.thread_id = :thread_id returning t.thread_id

-- name: find_storage
select found.body
  from agenthall.act_as(:identity, :organizations, :is_admin, :grants) as acting
 cross join lateral (
   select agenthall.own_thread_storage(t.thread_id)::text as body from agenthall.threads t
    where acting and t.thread_id = :thread_id and {own}
   offset 0) as found

-- name: prune
select agenthall.prune_thread(:identity, :organizations, :is_admin, :grants, :thread_id, :strategy)
  from agenthall.set_actor(:identity, :request_id) as acting
 where acting

-- fragment: extracted
-- A JSON object of the parts of a thread that :extract names, or null. It has lists [root, step, …] by aliases.
(case when :extract::json is not null then (
  select json_object_agg(wanted.alias, (
           case wanted.path ->> 0 when 'values' then t."values" when 'metadata' then t.metadata
                                  when 'config' then t.config when 'interrupts' then t.interrupts end)
           #> (array(select json_array_elements_text(wanted.path)))[2:])
    from json_each(:extract) as wanted (alias, path)) end)

-- fragment: with_extracted
(case when page.extracted is null then page.body
      else left(page.body, -1) || case page.body when '{}' then '' else ', ' end
           || '"extracted" : ' || page.extracted::text || '}' end)

-- fragment: page
-- Ends a search, whose steps storage/postgres/search.py explains. `listed` holds the ids of the first :last + 1 threads, in
-- order, with their positions. `is_cut`: a thread that was not looked at may belong before this position.
select (
  select {joined}
    from (select found.body, {bounded}
            from (select l.thread_id from listed l
                   where l.position > :offset::bigint and l.position <= :last::bigint
                   order by l.position
                  offset 0) l
           cross join lateral (
             select {with_extracted} as body
               from (select {selected_body}::text as body, page.extracted
                       from (select agenthall.thread_json(t) as body, {extracted} as extracted from agenthall.threads t
                              where acting and t.thread_id = l.thread_id and {own}
                             offset 0) page
                     offset 0) page
             offset 0) as found) page) as body,
  count(*) filter (where l.position > :offset) as rows, coalesce(bool_or(l.is_cut), false) as is_cut
  from listed l

-- fragment: everybody
true

-- fragment: everybodys_index
-- the index of the order itself

-- fragment: owner
-- A range, so that only an index that begins with the owner has the order.
t.owner_id >= :identity and t.owner_id <= :identity

-- fragment: owners_index
t.owner_id {direction},

-- fragment: metadata
t.metadata @> :metadata::jsonb

-- fragment: values
t."values" @> :values::jsonb

-- fragment: status
t.status = :status

-- fragment: text
-- A scalar: PostgreSQL may answer EXISTS from a hash table of all threads.
(select x.words @@ agenthall.text_query(:text) from agenthall.thread_words x where x.thread_id = t.thread_id)

-- fragment: by_thread_id
t.thread_id {direction}

-- fragment: by_status
t.status {direction}, t.thread_id {direction}

-- fragment: by_created_at
t.created_at {direction}, t.thread_id {direction}

-- fragment: by_updated_at
t.updated_at {direction}, t.thread_id {direction}

-- fragment: by_state_updated_at
t.state_updated_at {direction}, t.thread_id {direction}

-- template: search_in_order
-- Walks the index of the order, at most :most threads far.
select found.body, found.rows, found.is_cut
  from agenthall.act_as(:identity, :organizations, :is_admin, :grants) as acting
 cross join lateral (
   with listed as materialized (
     select t.thread_id, t.is_cut, row_number() over () as position
       from (select t.thread_id, t.place = :most as is_cut
               from (select t.*, row_number() over () as place
                       from (select t.*
                               from (select t.* from agenthall.threads t
                                      where acting and not t.ephemeral and {readable}
                                      order by {index}
                                               {order} {depth}) t
                              limit :most::bigint) t) t
              where {filters} or t.place = :most
              limit :last::bigint + 1) t)
   {page}
   offset 0) as found

-- name: search_granted
-- As search_in_order, for a principal whose grants have conditions: no policy lets it walk past other rows.
select found.body, found.rows, found.is_cut
  from agenthall.act_as(:identity, :organizations, :is_admin, :grants) as acting
 cross join lateral (
   with listed as materialized (
     select t.thread_id, t.is_cut, row_number() over () as position
       from agenthall.walk_granted_threads(
         :order, :descending, :metadata, :values, :status, :most, :last::bigint + 1, :text) t
      where acting)
   {page}
   offset 0) as found

-- template: search_by_filters
-- Looks up at most :most threads in the inverted index, and sorts them.
select found.body, found.rows, found.is_cut
  from agenthall.act_as(:identity, :organizations, :is_admin, :grants) as acting
 cross join lateral (
   with listed as materialized (
     select t.thread_id, t.is_cut, row_number() over () as position
       from (select t.thread_id, count(*) over () >= :most as is_cut
               from agenthall.find_matching_threads(:metadata, :values, :status, :most, :text) t
              where acting
              order by {order}
              limit :last::bigint + 1) t)
   {page}
   offset 0) as found

-- template: search_by_ids
select found.body, found.rows, found.is_cut
  from agenthall.act_as(:identity, :organizations, :is_admin, :grants) as acting
 cross join lateral (
   with listed as materialized (
     select t.thread_id, false as is_cut, row_number() over () as position
       from (select t.thread_id
               from (select distinct named.id from unnest(:ids::uuid[]) as named (id)) as named
              cross join lateral (
                select t.* from agenthall.threads t
                 where acting and t.thread_id = named.id and not t.ephemeral and {readable}
                offset 0) t
              where {filters}
              order by {order}
              limit :last::bigint + 1) t)
   {page}
   offset 0) as found
