-- Create tickets: single-use tokens with which a browser opens a WebSocket. Using a ticket deletes its row. The ticket
-- itself is not stored: `digest` finds its row, and `sealed` holds the caller's credentials, encrypted with the ticket.
create table agenthall.socket_tickets (
  digest     bytea primary key,
  sealed     bytea not null,
  expires_at timestamptz not null,
  constraint socket_tickets_digest check (octet_length(digest) = 32),
  constraint socket_tickets_sealed check (octet_length(sealed) <= 20000)
);
create index socket_tickets_expiry on agenthall.socket_tickets (expires_at);

-- Create the key that signs resume tokens. It is generated once, here, so that all replicas share it.
create table agenthall.socket_keys (
  purpose text primary key,
  key     bytea not null,
  constraint socket_keys_length check (octet_length(key) = 32)
);
insert into agenthall.socket_keys (purpose, key)
values ('resume',
        sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())));

-- agenthall_app has no rights here: code that acts for a principal reads neither tickets nor keys.
grant select, insert, update, delete on agenthall.socket_tickets to agenthall_system;
grant select on agenthall.socket_keys to agenthall_system;
