-- The first three parameters of a principal's query: identity, organisations, is admin. See database.py.

-- fragment: own
($3 or t.owner_id = $1)

-- name: insert
insert into agenthall.threads as t (thread_id, owner_id, organization_id, metadata)
select $4, $1, $5, $6::jsonb from agenthall.act_as($1, $2, $3) as acting where acting
on conflict (thread_id) do nothing
returning agenthall.thread_json(t)::text as body

-- name: get
select found.body
  from agenthall.act_as($1, $2, $3) as acting
 cross join lateral (
   select agenthall.thread_json(t)::text as body from agenthall.threads t
    where acting and t.thread_id = $4 and {own}
   offset 0) as found

-- name: graph_of
-- What reading a thread's state needs: the graph that ran on it and the configuration of its last run.
select found.*
  from agenthall.act_as($1, $2, $3) as acting
 cross join lateral (
   select t.thread_id, t.metadata ->> 'graph_id' as graph_id,
          (select r.kwargs -> 'config' ->> 'configurable' from agenthall.runs r
            where r.thread_id = t.thread_id order by r.run_id desc limit 1) as configurable
     from agenthall.threads t
    where acting and t.thread_id = $4 and {own}
   offset 0) as found

-- name: update
-- Inside a transaction that acts as the principal: row-level security decides what is there.
update agenthall.threads t set metadata = t.metadata || $2, updated_at = clock_timestamp()
 where t.thread_id = $1
returning agenthall.thread_json(t)::text as body

-- name: delete
delete from agenthall.threads t where t.thread_id = $1 returning t.thread_id

-- name: search
-- $4 ids, $5 metadata, $6 values, $7 status, $8 limit + 1, $9 offset, $10 selected fields
select coalesce(found.body, '[]') as body, found.rows
  from agenthall.act_as($1, $2, $3) as acting
 cross join lateral (
   select json_agg(case when $10::text[] is null then page.body else (
                     select json_object_agg(field.key, field.value) from json_each(page.body) as field
                      where field.key = any ($10)) end order by page.position) filter (where page.position < $8)::text as body,
          count(*) as rows
     from (
       select agenthall.thread_json(t) as body, row_number() over () as position
         from (
           select t.* from agenthall.threads t
            where acting and not t.ephemeral and {own}
              and ($4::uuid[] is null or t.thread_id = any ($4))
              and ($5::jsonb is null or t.metadata @> $5)
              and ($6::jsonb is null or t."values" @> $6)
              and ($7::text is null or t.status = $7)
            order by {order}
            limit $8 offset $9) t) page
   offset 0) as found
