-- API keys. The secret itself is nowhere: only what finds a key (prefix) and what proves it (sha-256 of its whole text).
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
  constraint api_keys_organizations check (cardinality(organizations) > 0 or coalesce(scopes <@ array['admin', 'metrics'], false)),
  constraint api_keys_expiry check (expires_at > created_at)
);
comment on column agenthall.api_keys.scopes is 'what the key is limited to; null: what any member of its organisations may';
comment on column agenthall.api_keys.last_used_at is 'to the minute, and best effort';
create index api_keys_organizations on agenthall.api_keys using gin (organizations);
-- agenthall_app has no right here at all: what answers requests as somebody never reads keys.
grant select, insert, update on agenthall.api_keys to agenthall_system;
