-- Tickets with which a browser opens a socket: a row is one, and is deleted by whoever takes it. The ticket itself is nowhere: `digest`
-- finds it, and `sealed` holds the credentials that it stands for, encrypted with it.
create table agenthall.socket_tickets (
  digest     bytea primary key,
  sealed     bytea not null,
  expires_at timestamptz not null,
  constraint socket_tickets_digest check (octet_length(digest) = 32),
  constraint socket_tickets_sealed check (octet_length(sealed) <= 20000)
);
create index socket_tickets_expiry on agenthall.socket_tickets (expires_at);

-- What resume tokens are signed with: made here once, so that every replica has it.
create table agenthall.socket_keys (
  purpose text primary key,
  key     bytea not null,
  constraint socket_keys_length check (octet_length(key) = 32)
);
insert into agenthall.socket_keys (purpose, key)
values ('resume', sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())));

-- agenthall_app has no right here: what answers requests as somebody never reads either.
grant select, insert, update, delete on agenthall.socket_tickets to agenthall_system;
grant select on agenthall.socket_keys to agenthall_system;
