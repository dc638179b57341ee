-- Create the credentials that the operator gives to MCP servers. `kind` says where a credential comes from, and
-- `options` holds what is not secret. `sealed` is encrypted with a key of the server's ring, and bound to the other
-- columns. It authenticates them also where there is no secret, so that an edit of the URL does not send a credential
-- elsewhere.
create table agenthall.mcp_credentials (
  credential_id   uuid primary key default gen_random_uuid(),
  organization_id uuid,
  url             text not null,
  kind            text not null,
  options         text not null,
  sealed          bytea not null,
  created_at      timestamptz not null default now(),
  updated_at      timestamptz not null default now(),
  updated_by      text not null,
  constraint mcp_credentials_server unique nulls not distinct (url, organization_id),
  constraint mcp_credentials_url check (url ~ '^https?://' and octet_length(url) <= 2048),
  constraint mcp_credentials_options check (octet_length(options) <= 8192),
  constraint mcp_credentials_sealed check (octet_length(sealed) between 37 and 65536)
);
comment on column agenthall.mcp_credentials.organization_id is
  'the organization whose runs use the credential; null: all of them that have none of their own';
-- Those that need the token of the run's caller.
create index mcp_credentials_for_callers on agenthall.mcp_credentials (url) where kind in ('pass_through', 'exchange');

-- agenthall_app has no rights here: code that acts for a principal never reads credentials.
grant select, insert, update, delete on agenthall.mcp_credentials to agenthall_system;
