-- name: send_pending
select pg_notify(n.channel, n.payload) from unnest(:channels::text[], :payloads::text[]) as n (channel, payload)
