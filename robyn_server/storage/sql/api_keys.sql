-- API keys. Runs as agenthall_system: no other role may read the table.

-- include: fragments

-- fragment: columns
k.prefix, k.name, k.identity, k.kind, k.organizations, k.scopes, k.agents, k.assistants, k.created_at, k.created_by,
       k.expires_at, k.revoked_at, k.rotated_at, k.previous_until, k.last_used_at,
       coalesce(k.expires_at <= now(), false) as is_expired

-- name: create
-- A null :lifetime never expires.
insert into agenthall.api_keys as k
  (prefix, digest, name, identity, kind, organizations, scopes, agents, assistants, expires_at, created_by)
select :prefix, :digest, :name, :identity, :kind, :organizations::uuid[], :scopes::text[], :agents::text[],
       :assistants::uuid[], now() + :lifetime::interval, :created_by
  from agenthall.set_actor(:created_by, :request_id) as acting
 where acting
returning {columns}

-- name: find
select k.digest, k.identity, k.kind, k.organizations, k.scopes, k.agents, k.assistants,
       k.revoked_at is not null as is_revoked, k.expires_at,
       extract(epoch from k.expires_at - now())::float8 as seconds_left, k.previous_digest, k.previous_until,
       extract(epoch from k.previous_until - now())::float8 as previous_seconds_left,
       coalesce(k.last_used_at < now() - interval '1 minute', true) as is_use_unwritten
  from agenthall.api_keys k
 where k.prefix = :prefix

-- name: touch
-- In the order of their prefixes, so that two processes do not wait for each other in a circle.
with used as (
  select k.prefix from agenthall.api_keys k
   where k.prefix = any (:prefixes::text[]) and coalesce(k.last_used_at < now() - interval '1 minute', true)
   order by k.prefix
     for no key update)
update agenthall.api_keys k set last_used_at = now() from used where k.prefix = used.prefix

-- fragment: as_text
-- `found.body` is not returned. It is about as long as the key in the answer.
cross join lateral (select row_to_json(shown)::text as body from (select {columns}) as shown offset 0) as found

-- fragment: by_created_at
k.created_at desc, k.prefix

-- fragment: organization_id
k.organizations @> array[:organization_id::uuid]

-- template: search_in_order
-- storage/postgres/search.py explains the steps of a search. The last row may belong to the next page. `is_cut`: a key that was
-- not looked at may belong before this row.
select {columns}, k.is_cut, {bounded}
  from (select k.*, row_number() over () as position
          from (select k.*, k.place = :most as is_cut
                  from (select k.*, row_number() over () as place
                          from (select k.*
                                  from (select k.* from agenthall.api_keys k order by {by_created_at} {depth}) k
                                 limit :most::bigint) k) k
                 where {filters} or k.place = :most
                 limit :last::bigint + 1) k) k
  {as_text}
 where k.position > :offset::bigint or k.is_cut
 order by k.position

-- template: search_by_filters
with matching as materialized (
  select k.* from agenthall.api_keys k where {filters} {depth}
)
select {columns}, k.is_cut, {bounded}
  from (select k.*, count(*) over () >= :most as is_cut
          from matching k
         order by {by_created_at}
         limit :last::bigint - :offset::bigint + 1 offset :offset) k
  {as_text}
 order by {by_created_at}

-- template: count
select count(*) from (select from agenthall.api_keys k where {filters} limit 1000) as counted

-- name: rotate
-- Leaves a key that is active, and none other. The secret before the previous one ends at once.
update agenthall.api_keys k
   set digest = :digest, previous_digest = k.digest, previous_until = now() + :overlap::interval, rotated_at = now()
 where k.prefix = :prefix and k.revoked_at is null and coalesce(k.expires_at > now(), true)
   and agenthall.set_actor(:actor, :request_id)
returning {columns}

-- name: get
select {columns} from agenthall.api_keys k where k.prefix = :prefix

-- name: revoke
-- A second revocation keeps the time of the first.
update agenthall.api_keys k set revoked_at = coalesce(k.revoked_at, now())
 where k.prefix = :prefix and agenthall.set_actor(:actor, :request_id)
returning {columns}

-- name: notify_changed
select pg_notify('agenthall_keys', :prefix)
