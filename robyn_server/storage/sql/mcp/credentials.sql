-- The operator's credentials for MCP servers. Runs as agenthall_system: no other role may read the table.

-- fragment: columns
c.organization_id, c.url, c.kind, c.options, c.sealed, c.updated_at, c.updated_by

-- name: put
insert into agenthall.mcp_credentials as c (organization_id, url, kind, options, sealed, updated_by)
values (:organization_id, :url, :kind, :options, :sealed, :updated_by)
on conflict on constraint mcp_credentials_server do update
   set kind = excluded.kind, options = excluded.options, sealed = excluded.sealed, updated_at = now(),
       updated_by = excluded.updated_by
returning {columns}

-- name: find_for
select {columns} from agenthall.mcp_credentials c
 where c.url = any (:urls::text[]) and (c.organization_id = :organization_id or c.organization_id is null)

-- name: find_connectable
-- Entries of servers that members of the organization connect to themselves. An entry of the organization hides the one
-- for all. A null :url means all URLs.
select {columns} from agenthall.mcp_credentials c
 where c.kind = 'connection' and (c.organization_id = :organization_id or c.organization_id is null)
   and (:url::text is null or c.url = :url)
   and (c.organization_id is not null or not exists (
     select from agenthall.mcp_credentials o where o.url = c.url and o.organization_id = :organization_id))
 order by c.url limit :limit

-- name: walk
select {columns} from agenthall.mcp_credentials c
 where (c.url, coalesce(c.organization_id::text, '')) > (:after_url, :after_organization)
 order by c.url, coalesce(c.organization_id::text, '') limit :limit

-- name: delete
delete from agenthall.mcp_credentials c
 where c.url = :url and c.organization_id is not distinct from :organization_id
returning true

-- name: reseal
update agenthall.mcp_credentials c set sealed = :sealed
 where c.url = :url and c.organization_id is not distinct from :organization_id and c.sealed = :before
returning true

-- fragment: for_callers
-- The predicate of the index mcp_credentials_for_callers.
c.kind in ('pass_through', 'exchange')

-- name: passes_tokens
select exists (select from agenthall.mcp_credentials c where {for_callers})

-- name: passes_tokens_to
select exists (select from agenthall.mcp_credentials c where {for_callers} and c.url = any (:urls::text[]))

-- name: count_by_key
-- Ciphertexts that outlive a run, by the id of their key (its place in them: credentials/key_ring.py).
select encode(substring(s.sealed from 2 for 8), 'hex') as key, count(*) as ciphertexts
  from (select c.sealed from agenthall.mcp_credentials c
         union all select n.sealed from agenthall.mcp_connections n
         union all select l.sealed from agenthall.mcp_clients l) s
 group by 1
