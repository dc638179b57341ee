-- Create the ledger of agent sync: for each agent, when it was last compared with its assistant and what went wrong.
create table agenthall.agent_sync (
  agent_id           uuid primary key,
  assistant_id       uuid,
  checked_at         timestamptz not null default now(),
  last_action        text not null,
  failure            text,
  write_back_pending boolean not null default false,
  constraint agent_sync_action check (last_action in ('created', 'updated', 'skipped', 'failed', 'missing'))
) with (fillfactor = 70);
comment on column agenthall.agent_sync.checked_at is
  'when the catalogue and the assistant were last compared, on this database''s clock';
create index agent_sync_problems on agenthall.agent_sync (agent_id) where failure is not null or write_back_pending;
grant select, insert, update, delete on agenthall.agent_sync to agenthall_system;
grant select on agenthall.agent_sync to agenthall_app;
