-- The last passes of agent sync over a scope, whichever replica made them. A few of each scope are kept.
create table agenthall.agent_sync_passes (
  pass_id     bigint generated always as identity primary key,
  scope       text not null,
  replica     text not null,
  started_at  timestamptz not null,
  finished_at timestamptz not null default clock_timestamp(),
  seconds     double precision not null,
  counters    json,
  failure     text,
  constraint agent_sync_passes_end check ((counters is null) <> (failure is null))
);
comment on column agenthall.agent_sync_passes.replica is 'host and process that made the pass';
comment on column agenthall.agent_sync_passes.counters is
  'of a pass that ended well: {total, created, updated, skipped, failed, retired}';
create index agent_sync_passes_scope on agenthall.agent_sync_passes (scope, pass_id desc);
grant select, insert, delete on agenthall.agent_sync_passes to agenthall_system;
