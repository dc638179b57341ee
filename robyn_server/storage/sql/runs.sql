-- The first three parameters of a principal's query: identity, organisations, is admin. See database.py.

-- fragment: own
($3 or r.owner_id = $1)

-- name: enqueue
select outcome, run::text as body
  from agenthall.enqueue_run($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)

-- name: get
select found.body
  from agenthall.act_as($1, $2, $3) as acting
 cross join lateral (
   select agenthall.run_json(r)::text as body from agenthall.runs r
    where acting and r.thread_id = $4 and r.run_id = $5 and {own}
   offset 0) as found

-- name: find
-- What following a run needs; thread may be null for a stateless run.
select found.*
  from agenthall.act_as($1, $2, $3) as acting
 cross join lateral (
   select r.run_id, r.thread_id, r.status, r.resumable, r.attempt
     from agenthall.runs r
    where acting and r.run_id = $5 and ($4::uuid is null or r.thread_id = $4) and {own}
   offset 0) as found

-- name: list
-- $5 status, $6 limit, $7 offset, $8 selected fields
select coalesce(found.body, '[]') as body
  from agenthall.act_as($1, $2, $3) as acting
 cross join lateral (
   select json_agg(case when $8::text[] is null then page.body else (
                     select json_object_agg(field.key, field.value) from json_each(page.body) as field
                      where field.key = any ($8)) end order by page.position)::text as body
     from (
       select agenthall.run_json(r) as body, row_number() over () as position
         from (
           select r.* from agenthall.runs r
            where acting and r.thread_id = $4 and {own} and ($5::text is null or r.status = $5)
            order by r.run_id desc limit $6 offset $7) r) page
   offset 0) as found

-- name: cancel
select agenthall.cancel_run($1, $2, $3, $4, $5, $6)

-- name: cancel_pending
select agenthall.cancel_pending($1)

-- name: claim
select r.run_id, r.thread_id, r.assistant_id, r.assistant_version, r.graph_id, r.owner_id, r.organization_id, r.attempt,
       r.metadata::text as metadata, r.kwargs::text as kwargs, r.keep_thread, r.resumable, r.cancel_action,
       agenthall.last_seq(r.run_id) as last_seq,
       extract(epoch from clock_timestamp() - r.run_at)::float8 as waited
  from agenthall.claim_runs($1, $2, $3, $4) r

-- name: flush
select lost, lost_attempts, woke from agenthall.flush_runs($1, $2, $3, $4, $5, $6, $7)

-- name: renew
select run_id, attempt, cancel_action from agenthall.renew_leases($1, $2, $3)

-- name: rescue
select rescued, failed from agenthall.rescue_runs($1)

-- name: read_events
-- What followers have not seen yet: $1 runs, $2 the last seq that each follower saw, $3 the most events for each.
-- The end is given to whoever asks, also past it: to one who wants nothing else, and to one whose place a crash of the database undid.
select w.run_id, e.seq, e.attempt, e.event, e.data
  from unnest($1::uuid[], $2::integer[]) as w (run_id, after)
 cross join lateral (
   (select e.seq, e.attempt, e.event, e.data from agenthall.run_events e
     where e.run_id = w.run_id and e.seq > w.after order by e.seq limit $3)
   union all
   (select last.seq, last.attempt, last.event, last.data
      from (select e.seq, e.attempt, e.event, e.data from agenthall.run_events e
             where e.run_id = w.run_id order by e.seq desc limit 1) last
     where last.seq <= w.after and last.event = '__end__')) e
 order by w.run_id, e.seq

-- name: sweep_events
-- Events of runs that ended longer ago than $1, $2 runs at most.
with ended as (
  select e.run_id from agenthall.run_events e
   where e.event = '__end__' and e.created_at < now() - $1::interval limit $2)
delete from agenthall.run_events e using ended where e.run_id = ended.run_id

-- name: last_seq
select agenthall.last_seq($1)

-- name: release
select r.released, r.ended from agenthall.release_runs($1, $2) as r

-- name: place_now
select coalesce(max(e.seq), 0) from agenthall.run_events e where e.run_id = $1 and e.event <> '__end__'

-- name: state
-- The runs that wait for a worker and those under way, by their indexes; and behind each the younger ones of its thread, which wait
-- for it. So nothing is read of what has ended.
with first as (
  select r.thread_id, r.run_id, r.run_at, true as waits from agenthall.runs r where r.status = 'pending' and r.ready
   union all
  select r.thread_id, r.run_id, r.run_at, false from agenthall.runs r where r.status = 'running'
), waiting as (
  select f.run_at, true as unblocked from first f where f.waits
   union all
  select behind.run_at, false
    from first f
   cross join lateral (
     select b.run_at from agenthall.runs b
      where b.thread_id = f.thread_id and b.run_id > f.run_id and b.status = 'pending'
     offset 0) as behind
), aged as (
  select greatest(extract(epoch from clock_timestamp() - w.run_at), 0)::float8 as seconds, w.unblocked from waiting w
)
select count(*) as pending, max(a.seconds) as longest_wait,
       percentile_cont(0.5) within group (order by a.seconds) as median_wait,
       max(a.seconds) filter (where a.unblocked) as longest_unblocked_wait,
       (select count(*) from first f where not f.waits) as running
  from aged a
