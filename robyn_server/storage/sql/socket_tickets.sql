-- Works as agenthall_system: nobody else may read these tables.

-- name: insert
-- $1 digest, $2 sealed, $3 lifetime. Those that were never taken go with the next one that is made.
with gone as (
  delete from agenthall.socket_tickets
   where digest in (select t.digest from agenthall.socket_tickets t where t.expires_at < now() limit 100 for update skip locked)
)
insert into agenthall.socket_tickets (digest, sealed, expires_at) values ($1, $2, now() + $3::interval)
returning expires_at

-- name: take
-- Once: of two who delete the same row, one gets it.
delete from agenthall.socket_tickets where digest = $1
returning sealed, expires_at > now() as is_valid

-- name: key
select key from agenthall.socket_keys where purpose = $1
