-- Connections of users to MCP servers, and what is needed to make them. Runs as agenthall_system, unless a query says
-- otherwise.

-- name: find
select c.connection_id, c.issuer, c.sealed, c.version, c.expires_at > now() + :early::interval as is_fresh
  from agenthall.mcp_connections c
 where c.owner_id = :owner_id and c.url = :url and c.organization_id is not distinct from :organization_id

-- name: find_own
select c.url, c.organization_id, c.issuer, c.sealed from agenthall.mcp_connections c
 where c.connection_id = :connection_id and c.owner_id = :owner_id

-- name: put
insert into agenthall.mcp_connections as c (owner_id, organization_id, url, issuer, scope, sealed, expires_at)
values (:owner_id, :organization_id, :url, :issuer, :scope, :sealed, now() + :lifetime::interval)
on conflict on constraint mcp_connections_server do update
   set issuer = excluded.issuer, scope = excluded.scope, sealed = excluded.sealed, expires_at = excluded.expires_at,
       version = c.version + 1, refreshing_until = null, updated_at = now()
returning c.connection_id

-- name: claim_refresh
update agenthall.mcp_connections c set refreshing_until = now() + :lease::interval
 where c.connection_id = :connection_id and c.version = :version
   and (c.refreshing_until is null or c.refreshing_until < now())
returning true

-- name: finish_refresh
update agenthall.mcp_connections c
   set sealed = :sealed, expires_at = now() + :lifetime::interval, version = c.version + 1, refreshing_until = null,
       updated_at = now()
 where c.connection_id = :connection_id and c.version = :version
returning true

-- name: release_refresh
update agenthall.mcp_connections c set refreshing_until = null
 where c.connection_id = :connection_id and c.version = :version

-- name: drop
delete from agenthall.mcp_connections c where c.connection_id = :connection_id and c.version = :version

-- name: list
-- As agenthall_app.
select found.*
  from agenthall.act_as(:identity, :organizations, :is_admin, :grants) as acting
 cross join lateral (
   select c.connection_id, c.organization_id, c.url, c.issuer, c.scope, c.expires_at, c.created_at, c.updated_at
     from agenthall.mcp_connections c
    where acting and c.owner_id = :identity
    order by c.connection_id limit :limit
   offset 0) as found

-- name: delete
-- As agenthall_app, in a transaction that acts as the principal.
delete from agenthall.mcp_connections c where c.connection_id = :connection_id and c.owner_id = :identity
returning true

-- name: begin
with expired as (
  delete from agenthall.mcp_authorizations a
   where a.digest in (select e.digest from agenthall.mcp_authorizations e where e.expires_at < now() limit 100)
)
insert into agenthall.mcp_authorizations (digest, owner_id, organization_id, url, sealed, expires_at)
values (:digest, :owner_id, :organization_id, :url, :sealed, now() + :lifetime::interval)

-- name: redeem
delete from agenthall.mcp_authorizations a where a.digest = :digest and a.expires_at > now()
returning a.owner_id, a.organization_id, a.url, a.sealed

-- name: find_client
select c.sealed from agenthall.mcp_clients c where c.issuer = :issuer and c.redirect_uri = :redirect_uri

-- name: keep_client
insert into agenthall.mcp_clients as c (issuer, redirect_uri, sealed) values (:issuer, :redirect_uri, :sealed)
on conflict on constraint mcp_clients_pkey do nothing

-- name: forget_client
delete from agenthall.mcp_clients c where c.issuer = :issuer and c.redirect_uri = :redirect_uri

-- name: walk_connections
select c.connection_id, c.owner_id, c.organization_id, c.url, c.issuer, c.sealed from agenthall.mcp_connections c
 where c.connection_id > :after order by c.connection_id limit :limit

-- name: reseal_connection
update agenthall.mcp_connections c set sealed = :sealed
 where c.connection_id = :connection_id and c.sealed = :before
returning true

-- name: clients
select c.issuer, c.redirect_uri, c.sealed from agenthall.mcp_clients c

-- name: reseal_client
update agenthall.mcp_clients c set sealed = :sealed
 where c.issuer = :issuer and c.redirect_uri = :redirect_uri and c.sealed = :before
returning true
