-- Tickets for WebSockets. Runs as agenthall_system: no other role may read these tables.

-- name: create
-- Also deletes up to 100 expired tickets.
with expired as (
  delete from agenthall.socket_tickets
   where digest in (
     select t.digest from agenthall.socket_tickets t where t.expires_at < now() limit 100 for update skip locked)
)
insert into agenthall.socket_tickets (digest, sealed, expires_at) values (:digest, :sealed, now() + :lifetime::interval)
returning expires_at

-- name: redeem
-- Of two concurrent calls, only one deletes the row.
delete from agenthall.socket_tickets where digest = :digest
returning sealed, expires_at > now() as is_valid

-- name: get_key
select key from agenthall.socket_keys where purpose = :purpose
