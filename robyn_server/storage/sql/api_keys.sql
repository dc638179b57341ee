-- fragment: columns
k.prefix, k.name, k.identity, k.kind, k.organizations, k.scopes, k.created_at, k.created_by, k.expires_at, k.revoked_at, k.last_used_at,
       coalesce(k.expires_at <= now(), false) as is_expired

-- name: insert
-- $8 lifetime (null: without end)
insert into agenthall.api_keys as k (prefix, digest, name, identity, kind, organizations, scopes, expires_at, created_by)
values ($1, $2, $3, $4, $5, $6::uuid[], $7::text[], now() + $8::interval, $9)
returning {columns}

-- name: find
-- What proves a key, and how long it still holds by this database's clock.
select k.digest, k.identity, k.kind, k.organizations, k.scopes, k.revoked_at is not null as is_revoked, k.expires_at,
       extract(epoch from k.expires_at - now())::float8 as seconds_left,
       coalesce(k.last_used_at < now() - interval '1 minute', true) as is_use_unwritten
  from agenthall.api_keys k
 where k.prefix = $1

-- name: used
update agenthall.api_keys k set last_used_at = now()
 where k.prefix = $1 and coalesce(k.last_used_at < now() - interval '1 minute', true)

-- name: search
-- $1 organisation (null: all), $2 limit, $3 offset
select {columns}, count(*) over () as total
  from agenthall.api_keys k
 where $1::uuid is null or k.organizations @> array[$1::uuid]
 order by k.created_at desc, k.prefix
 limit $2 offset $3

-- name: revoke
-- A second revocation keeps the time of the first.
update agenthall.api_keys k set revoked_at = coalesce(k.revoked_at, now()) where k.prefix = $1
returning {columns}

-- name: tell_revoked
select pg_notify('agenthall_keys', $1)
