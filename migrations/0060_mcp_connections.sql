-- Create the connections of users to MCP servers (OAuth 2.1), and what is needed to make them. `sealed` is encrypted
-- with a key of the server's ring, and bound to its row.
create table agenthall.mcp_connections (
  connection_id    uuid primary key default gen_random_uuid(),
  owner_id         text not null,
  organization_id  uuid,
  url              text not null,
  issuer           text not null,
  scope            text,
  sealed           bytea not null,
  expires_at       timestamptz not null,
  version          integer not null default 1,
  refreshing_until timestamptz,
  created_at       timestamptz not null default now(),
  updated_at       timestamptz not null default now(),
  constraint mcp_connections_server unique nulls not distinct (owner_id, url, organization_id),
  constraint mcp_connections_sealed check (octet_length(sealed) between 37 and 131072)
);
comment on column agenthall.mcp_connections.expires_at is
  'end of the access token; the refresh token may be valid for longer';
comment on column agenthall.mcp_connections.refreshing_until is
  'until when a process has the right to refresh the tokens; a refresh token may be used once';
create index mcp_connections_of_owner on agenthall.mcp_connections (owner_id, connection_id);
alter table agenthall.mcp_connections enable row level security;
alter table agenthall.mcp_connections force row level security;
-- A principal lists and deletes its own connections. It reads no ciphertext.
grant select (connection_id, owner_id, organization_id, url, issuer, scope, expires_at, created_at, updated_at), delete
   on agenthall.mcp_connections to agenthall_app;
grant select, insert, update, delete on agenthall.mcp_connections to agenthall_system;
create policy system_all on agenthall.mcp_connections to agenthall_system using (true) with check (true);
create policy all_own on agenthall.mcp_connections to agenthall_app
  using (owner_id = (select agenthall.current_identity()))
  with check (owner_id = (select agenthall.current_identity()));

-- Create authorizations that wait for their user. `digest` is the SHA-256 of `state`, which is used once.
create table agenthall.mcp_authorizations (
  digest          bytea primary key,
  owner_id        text not null,
  organization_id uuid,
  url             text not null,
  sealed          bytea not null,
  expires_at      timestamptz not null,
  constraint mcp_authorizations_digest check (octet_length(digest) = 32),
  constraint mcp_authorizations_sealed check (octet_length(sealed) between 37 and 131072)
);
create index mcp_authorizations_expiry on agenthall.mcp_authorizations (expires_at);

-- Create the clients that this server has registered at authorization servers (RFC 7591).
create table agenthall.mcp_clients (
  issuer       text not null,
  redirect_uri text not null,
  sealed       bytea not null,
  created_at   timestamptz not null default now(),
  constraint mcp_clients_pkey primary key (issuer, redirect_uri),
  constraint mcp_clients_sealed check (octet_length(sealed) between 37 and 131072)
);

-- agenthall_app has no rights here: code that acts for a principal reads neither.
grant select, insert, delete on agenthall.mcp_authorizations to agenthall_system;
grant select, insert, update, delete on agenthall.mcp_clients to agenthall_system;
