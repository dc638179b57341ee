-- The bytes of the database, by table and by thread. It costs a bounded number of pages, however large the tables are.

-- name: list_tables
-- PostgreSQL knows these sizes from its files. The numbers of rows are those of the last ANALYZE.
select n.nspname || '.' || c.relname as name, greatest(c.reltuples, 0)::bigint as rows,
       pg_table_size(c.oid) as table_bytes, pg_indexes_size(c.oid) as index_bytes
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
 where n.nspname in ('agenthall', 'mcp', 'langgraph') and c.relkind = 'r'
 order by pg_total_relation_size(c.oid) desc, 1

-- name: list_largest_threads
-- A sample tells which threads are the largest. Only these are measured. Events of a run are deleted soon after its end,
-- so those of older runs are not looked for.
with sampled as (
  select s.thread_id, bool_and(s.is_exact) as is_exact
    from agenthall.sampled_threads(:pages) as s
   group by s.thread_id
   order by sum(s.bytes) desc, s.thread_id
   limit :limit)
select s.thread_id, s.is_exact, agenthall.checkpoint_storage(s.thread_id)::text as storage, t.owner_id, t.updated_at,
       (select coalesce(sum(pg_column_size(e.data)), 0)::bigint
          from (select r.run_id from agenthall.runs r
                 where r.thread_id = t.thread_id order by r.run_id desc limit 100) as r
          join agenthall.run_events e on e.run_id = r.run_id) as event_bytes
  from sampled s
  left join agenthall.threads t
    on t.thread_id = case when length(s.thread_id) = 36 and s.thread_id ~ '^([0-9a-f]+-)+[0-9a-f]+$' then s.thread_id::uuid end
