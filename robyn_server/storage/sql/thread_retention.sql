-- Threads whose time is over, for the server's own processes.

-- name: list_expired
-- By an index of those that are not busy, so threads without a ttl cost nothing, and busy ones do not stand in the way.
select t.thread_id, t.expires_at
  from agenthall.threads t
 where t.expires_at is not null and t.status <> 'busy' and t.expires_at <= now()
   and (t.expires_at, t.thread_id) > (:after_at::timestamptz, :after_id::uuid)
 order by t.expires_at, t.thread_id
 limit :limit

-- name: list_idle
-- Threads that nobody used for :idle, by the index of updated_at.
select t.thread_id, t.updated_at
  from agenthall.threads t
 where not t.ephemeral and t.status <> 'busy' and t.updated_at < now() - :idle::interval
   and (t.updated_at, t.thread_id) > (:after_at::timestamptz, :after_id::uuid)
 order by t.updated_at, t.thread_id
 limit :limit

-- name: delete_idle
select agenthall.delete_idle_thread(:thread_id, :idle)

-- name: prune_changed
select p.looked, p.deleted from agenthall.prune_changed_threads(:keep, :settled, :limit) as p

-- name: expire
select agenthall.expire_thread(:thread_id)
