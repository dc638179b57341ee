-- Runs as a principal sees them. Runs as agenthall_app; pools.py explains act_as and LATERAL.

-- include: fragments

-- fragment: own
(:is_admin or :grants::text is not null or r.owner_id = :identity)

-- fragment: enqueued
from (select set_config('agenthall.event_transport', :event_transport, true) is not null as chosen offset 0) as given
 cross join lateral agenthall.enqueue_run(
    p_identity => case when given.chosen then :identity end, p_organizations => :organizations, p_admin => :is_admin, p_grants => :grants,
    p_auth => :auth, p_new_metadata => :new_metadata, p_run_id => :run_id, p_thread_id => :thread_id,
    p_new_thread => :new_thread, p_keep_thread => :keep_thread,
    p_organization_id => :organization_id, p_assistant_id => :assistant_id, p_assistant_version => :assistant_version,
    p_graph_id => :graph_id, p_assistant_metadata => :assistant_metadata, p_metadata => :metadata, p_kwargs => :kwargs,
    p_thread_config => :thread_config, p_strategy => :multitask_strategy, p_resumable => :resumable, p_after => :after,
    p_max_attempts => :max_attempts, p_traceparent => :traceparent, p_tracestate => :tracestate) as enqueued

-- name: enqueue
-- The transport of the run is a parameter of the transaction. `given.chosen` makes the function wait for it.
select enqueued.outcome, enqueued.run::text as body
  {enqueued}

-- name: enqueue_limited
-- The limits are checked when the run was added. A failure undoes it.
select enqueued.outcome, enqueued.run::text as body, agenthall.limit_pending_runs(
         p_run_id => :run_id, p_of_owner => :of_owner, p_of_organization => :of_organization, p_margin => :margin) as left_over
  {enqueued}
-- name: enqueue_with_credential
-- In the transaction that enqueues the run.
insert into agenthall.run_credentials (run_id, sealed) values (:run_id, :sealed)

-- name: find
select found.body
  from agenthall.act_as(:identity, :organizations, :is_admin, :grants) as acting
 cross join lateral (
   select agenthall.run_json(r)::text as body from agenthall.runs r
    where acting and r.thread_id = :thread_id and r.run_id = :run_id and {own}
   offset 0) as found

-- name: find_to_follow
-- :thread_id is null for a stateless run.
select found.*
  from agenthall.act_as(:identity, :organizations, :is_admin, :grants) as acting
 cross join lateral (
   select r.run_id, r.thread_id, r.status, r.resumable, r.attempt, r.event_transport
     from agenthall.runs r
    where acting and r.run_id = :run_id and r.thread_id = coalesce(:thread_id, r.thread_id) and {own}
   offset 0) as found

-- fragment: of_thread
-- A range, so that only an index that begins with the thread has the order.
r.thread_id >= :thread_id and r.thread_id <= :thread_id

-- fragment: index_of_thread
r.thread_id

-- fragment: of_thread_and_status
r.thread_id = :thread_id and r.status >= :status and r.status <= :status

-- fragment: index_of_thread_and_status
r.status

-- template: list
select found.body
  from agenthall.act_as(:identity, :organizations, :is_admin, :grants) as acting
 cross join lateral (
   select {joined} as body
     from (select found.body, {bounded}
             from (select {selected_body}::text as body
                     from (select agenthall.run_json(r.run) as body
                             from (select r as run from agenthall.runs r
                                    where acting and {of} and {own}
                                    order by {index}, r.run_id desc {depth}) r
                            limit :limit offset :offset) page
                   offset 0) as found) page
   offset 0) as found

-- name: cancel
select agenthall.cancel_run(
  p_identity => :identity, p_organizations => :organizations, p_admin => :is_admin, p_grants => :grants,
  p_thread_id => :thread_id, p_run_id => :run_id, p_action => :action, p_reason => :reason)

-- name: list_active
select found.thread_id, found.run_id
  from agenthall.act_as(:identity, :organizations, :is_admin, :grants) as acting
 cross join lateral (
   select r.thread_id, r.run_id from agenthall.runs r
    where acting and r.owner_id = :identity and r.status = :status
      and r.status in ('pending', 'running') and r.run_id > :after
    order by r.run_id
    limit :limit
   offset 0) as found

-- name: delete
select agenthall.delete_run(
  p_identity => :identity, p_organizations => :organizations, p_admin => :is_admin, p_grants => :grants,
  p_thread_id => :thread_id, p_run_id => :run_id)
