-- Create threads: conversations. The checkpointer holds a thread's state. The columns `values`, `error` and
-- `interrupts` copy what the last finished run left, for searches and listings.
create table agenthall.threads (
  thread_id        uuid primary key,
  owner_id         text not null,
  organization_id  uuid,
  status           text not null default 'idle',
  ephemeral        boolean not null default false,
  metadata         jsonb not null default '{}',
  config           jsonb not null default '{}',
  "values"         jsonb,
  error            jsonb,
  interrupts       jsonb,
  created_at       timestamptz not null default now(),
  updated_at       timestamptz not null default now(),
  state_updated_at timestamptz not null default now(),
  constraint threads_status check (status in ('idle', 'busy', 'interrupted', 'error')),
  constraint threads_json check (jsonb_typeof(metadata) = 'object' and jsonb_typeof(config) = 'object')
) with (fillfactor = 80);
comment on column agenthall.threads.ephemeral is 'created for one stateless run and deleted with it';
comment on column agenthall.threads.interrupts is 'null until a run has finished';
create index threads_owner on agenthall.threads (owner_id, updated_at desc) where not ephemeral;
create index threads_updated on agenthall.threads (updated_at desc) where not ephemeral;
create index threads_metadata on agenthall.threads using gin (metadata jsonb_path_ops) where not ephemeral;

create function agenthall.thread_json(t agenthall.threads) returns json language sql stable as $$
  select case when t.interrupts is null then json_build_object(
    'thread_id', t.thread_id, 'created_at', agenthall.iso(t.created_at), 'updated_at', agenthall.iso(t.updated_at),
    'state_updated_at', agenthall.iso(t.state_updated_at), 'metadata', t.metadata, 'status', t.status,
    'config', t.config, 'values', t."values")
  else json_build_object(
    'thread_id', t.thread_id, 'created_at', agenthall.iso(t.created_at), 'updated_at', agenthall.iso(t.updated_at),
    'state_updated_at', agenthall.iso(t.state_updated_at), 'metadata', t.metadata, 'status', t.status,
    'config', t.config, 'values', t."values", 'error', t.error, 'interrupts', t.interrupts)
  end
$$;

alter table agenthall.threads enable row level security;
alter table agenthall.threads force row level security;
grant select, insert, update, delete on agenthall.threads to agenthall_app, agenthall_system;
create policy system_all on agenthall.threads to agenthall_system using (true) with check (true);
create policy all_own on agenthall.threads to agenthall_app
  using ((select agenthall.current_is_admin()) or owner_id = (select agenthall.current_identity()))
  with check ((select agenthall.current_is_admin()) or owner_id = (select agenthall.current_identity()));
