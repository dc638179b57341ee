-- Runs of all threads, as a principal may see them. Runs as agenthall_app; pools.py explains act_as and LATERAL.

-- include: fragments

-- fragment: everything
-- Administrators see all runs.
:is_admin

-- fragment: index_of_everything
-- the index of the order itself

-- fragment: by_owner
-- A range, so that only an index that begins with the owner has the order.
r.owner_id >= :identity and r.owner_id <= :identity

-- fragment: index_of_owner
r.owner_id desc,

-- fragment: by_thread
r.thread_id >= :thread_id and r.thread_id <= :thread_id and (:is_admin or r.owner_id = :identity)

-- fragment: index_of_thread
r.thread_id,

-- fragment: status
r.status = :status

-- fragment: assistant_id
r.assistant_id = :assistant_id

-- fragment: created_after
r.created_at >= :created_after

-- fragment: created_before
r.created_at < :created_before

-- fragment: ids_after
-- The clock that an id was made by may be some minutes off that of the database.
r.run_id >= agenthall.lowest_id(:created_after::timestamptz - interval '5 minutes')

-- fragment: ids_before
r.run_id < agenthall.lowest_id(:created_before::timestamptz + interval '5 minutes')

-- fragment: cursor
r.run_id < :cursor::uuid

-- template: search
-- Walks one index, at most 5,000 runs far. `is_cut`: the walk ended there, and older runs may match.
select found.body, found.run_id, found.is_match, found.is_cut, {bounded}
  from agenthall.act_as(:identity, :organizations, :is_admin, :grants) as acting
 cross join lateral (
   select case when w.is_match then agenthall.timed_run_json(w.run)::text else '' end as body,
          w.run_id, w.is_match, w.place = 5000 as is_cut
     from (select r.run, r.run_id, {filters} as is_match, row_number() over () as place
             from (select r as run, r.run_id, r.status, r.assistant_id from agenthall.runs r
                    where acting and {path} and {bounds}
                    order by {index}
                             r.run_id desc
                    limit 5000) r) w
    where w.is_match or w.place = 5000
    limit :last::bigint
   offset 0) as found

-- name: find
-- `claims`: when each attempt was claimed. `frames`: of the error, as JSON text.
select found.body, found.status, found.claims, found.due_at, found.ended_at, found.attempt, found.traceparent,
       found.event_transport, found.frames, found.graph_id
  from agenthall.act_as(:identity, :organizations, :is_admin, :grants) as acting
 cross join lateral (
   select agenthall.timed_run_json(r)::text as body, r.status, coalesce(r.claimed_at, '{}') as claims, r.run_at as due_at,
          case when r.status not in ('pending', 'running') then r.updated_at end as ended_at, r.attempt,
          r.traceparent, r.event_transport, (r.error -> 'frames')::text as frames, r.graph_id
     from agenthall.runs r
    where acting and r.thread_id = :thread_id and r.run_id = :run_id
      and (:is_admin or :grants::text is not null or r.owner_id = :identity)
   offset 0) as found
