-- Create API keys. The secret is not stored: `prefix` finds a key, and `digest` (SHA-256 of the whole key) verifies it.
create table agenthall.api_keys (
  prefix        text primary key,
  digest        bytea not null,
  name          text not null,
  identity      text not null,
  kind          text not null,
  organizations uuid[] not null,
  scopes        text[],
  created_at    timestamptz not null default now(),
  created_by    text not null,
  expires_at    timestamptz,
  revoked_at    timestamptz,
  last_used_at  timestamptz,
  constraint api_keys_prefix check (prefix ~ '^[a-z2-7]{10}$'),
  constraint api_keys_digest check (octet_length(digest) = 32),
  constraint api_keys_kind check (kind in ('service', 'instance')),
  constraint api_keys_scopes check (cardinality(scopes) > 0),
  constraint api_keys_organizations check (
    cardinality(organizations) > 0 or coalesce(scopes <@ array['admin', 'metrics'], false)),
  constraint api_keys_expiry check (expires_at > created_at)
);
comment on column agenthall.api_keys.scopes is
  'scopes that the key is limited to; null: everything that a member of its organizations may do';
comment on column agenthall.api_keys.last_used_at is 'precise to a minute; an update may be lost';
create index api_keys_organizations on agenthall.api_keys using gin (organizations);
-- agenthall_app has no rights here: code that acts for a principal never reads keys.
grant select, insert, update on agenthall.api_keys to agenthall_system;
