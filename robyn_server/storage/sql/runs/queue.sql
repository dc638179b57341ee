-- The queue of runs. Runs as agenthall_system.

-- name: cancel_pending
select agenthall.cancel_pending(p_run_id => :run_id, p_action => :action, p_reason => :reason)

-- fragment: claimed
select r.run_id, r.thread_id, r.assistant_id, r.assistant_version, r.graph_id, r.owner_id, r.organization_id, r.attempt,
       r.metadata::text as metadata, r.kwargs::text as kwargs, r.auth::text as auth, r.keep_thread,
       r.resumable, r.cancel_action, r.event_transport, r.traceparent, r.tracestate,
       agenthall.claimed_seq(r) as last_seq,
       extract(epoch from clock_timestamp() - r.run_at)::float8 as waited,
       coalesce((select a.name from agenthall.assistants a where a.assistant_id = r.assistant_id), '') as assistant_name,
       agenthall.tenant_key(r.organization_id, r.owner_id) as tenant, agenthall.owner_key(r.owner_id) as owner

-- name: claim
{claimed}
  from agenthall.claim_runs(
    p_worker => :worker_id, p_slots => :slots, p_lease => :lease, p_graphs => :graphs,
    p_instance_runs => :instance_runs, p_turns => :turns, p_instance_turns => :instance_turns,
    p_running_of_owner => :running_of_owner, p_running_of_organization => :running_of_organization,
    p_weights => :weights, p_calls => :calls) r

-- name: claim_alone
{claimed}
  from agenthall.claim_alone(p_worker => :worker_id, p_lease => :lease, p_graphs => :graphs) r

-- name: hand_over
update agenthall.runs r set worker_id = :to
 where r.run_id = any (:run_ids::uuid[]) and r.worker_id = :worker_id and r.status = 'running'

-- name: count_held
select count(*) from agenthall.runs r where r.worker_id = any (:worker_ids::uuid[]) and r.status = 'running'

-- name: list_claimed
{claimed}
  from agenthall.runs r where r.worker_id = :worker_id and r.status = 'running'

-- name: flush
select lost, lost_attempts, woke, crash_mark
  from agenthall.flush_runs(
    p_worker => :worker_id, p_run_ids => :run_ids, p_attempts => :attempts, p_seqs => :seqs, p_events => :events,
    p_datas => :data, p_ends => :ends, p_crash_mark => :crash_mark)

-- name: renew
select run_id, attempt, cancel_action
  from agenthall.renew_leases(p_worker => :worker_id, p_run_ids => :run_ids, p_lease => :lease)

-- name: release
select r.released, r.ended from agenthall.release_runs(p_worker => :worker_id, p_drained => :drained) as r

-- name: list_held
select r.run_id from agenthall.runs r where r.worker_id = :worker_id and r.status = 'running'

-- name: release_stalled
select r.released, r.ended
  from agenthall.release_stalled_runs(p_worker => :worker_id, p_charged => :charged, p_error => :error) as r

-- name: rescue
select rescued, failed from agenthall.rescue_runs(:limit)

-- name: read_events
-- Of each run, the events up to the one with which they have :max_bytes.
-- :after is the last seq that the follower of each of :run_ids has. A run's end is returned even when `after` lies past
-- it: the follower wants only the end, or a crash of the database has undone the events that it had.
select w.run_id, e.seq, e.attempt, e.event, e.data
  from unnest(:run_ids::uuid[], :after::integer[]) as w (run_id, after)
 cross join lateral (
   (select sized.seq, sized.attempt, sized.event, sized.data
      from (select page.*, sum(octet_length(page.data)) over (order by page.seq) as bytes
              from (select e.seq, e.attempt, e.event, e.data from agenthall.run_events e
                     where e.run_id = w.run_id and e.seq > w.after order by e.seq limit :limit) page) sized
     where sized.bytes - octet_length(sized.data) < :max_bytes)
   union all
   (select last.seq, last.attempt, last.event, last.data
      from (select e.seq, e.attempt, e.event, e.data from agenthall.run_events e
             where e.run_id = w.run_id order by e.seq desc limit 1) last
     where last.seq <= w.after and last.event = '__end__')) e
 order by w.run_id, e.seq

-- name: list_following
-- Of each of :thread_ids, whether it exists, and the begun runs that are newer than the one in :after or active. A run
-- that waits for others has not begun.
select w.thread_id, t.thread_id is not null as is_there, r.run_id, r.ready as is_active,
       r.status not in ('pending', 'running') as is_ended, r.event_transport
  from unnest(:thread_ids::uuid[], :after::uuid[]) as w (thread_id, after)
  left join agenthall.threads t on t.thread_id = w.thread_id
  left join lateral (
    (select n.run_id, n.ready, n.status, n.event_transport from agenthall.runs n
      where n.thread_id = w.thread_id and n.run_id > w.after and (n.ready or n.status <> 'pending')
      order by n.run_id limit :limit)
     union
    (select a.run_id, a.ready, a.status, a.event_transport from agenthall.runs a
      where a.thread_id = w.thread_id and a.ready)) r on true
 order by w.thread_id, r.run_id

-- name: thread_position
select (select r.run_id from agenthall.runs r
         where r.thread_id = :thread_id and r.status <> 'pending' order by r.run_id desc limit 1) as newest,
       running.run_id as running, running.event_transport
  from (values (true)) as always
  left join (select r.run_id, r.event_transport from agenthall.runs r
              where r.thread_id = :thread_id and r.ready and r.status = 'running') as running on true

-- name: last_seq
select coalesce(max(e.seq), 0) from agenthall.run_events e where e.run_id = :run_id

-- name: last_seq_before_end
select coalesce(max(e.seq), 0) from agenthall.run_events e where e.run_id = :run_id and e.event <> '__end__'

-- name: has_event
select exists (select from agenthall.run_events e where e.run_id = :run_id and e.seq = :seq)

-- name: sweep_events
with ended as (
  select e.run_id from agenthall.run_events e
   where e.event = '__end__' and e.created_at < now() - :older_than::interval limit :limit
), deleted as (delete from agenthall.run_events e using ended where e.run_id = ended.run_id returning e.run_id)
select d.run_id, count(*) as events from deleted d group by d.run_id

-- name: state
-- Indexes find the pending and running runs that are first in their thread. The younger runs of the same thread wait
-- for those. Ended runs are not read.
with first as (
  select r.thread_id, r.run_id, r.run_at, r.graph_id, true as waits
    from agenthall.runs r where r.status = 'pending' and r.ready
   union all
  select r.thread_id, r.run_id, r.run_at, r.graph_id, false from agenthall.runs r where r.status = 'running'
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
       (select count(*) from first f where not f.waits) as running,
       (select count(*) from first f
         where f.waits and f.run_at <= now() and not agenthall.is_served(f.graph_id)) as unserved
  from aged a
