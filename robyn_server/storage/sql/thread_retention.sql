-- Threads whose time is over, for the server's own processes.

-- name: list_expired
-- By an index of those that are not busy, so threads without a ttl cost nothing, and busy ones do not stand in the way.
select t.thread_id, t.expires_at
  from agenthall.threads t
 where t.expires_at is not null and t.status <> 'busy' and t.expires_at <= now()
   and (t.expires_at, t.thread_id) > (:after_at::timestamptz, :after_id::uuid)
 order by t.expires_at, t.thread_id
 limit :limit

-- name: expire
select agenthall.expire_thread(:thread_id)
