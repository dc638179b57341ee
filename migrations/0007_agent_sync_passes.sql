-- Create the history of agent sync's passes over a scope, of all replicas. The server keeps the latest of each scope.
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
  'counts of a pass that succeeded: {total, created, updated, skipped, failed, retired}';
create index agent_sync_passes_scope on agenthall.agent_sync_passes (scope, pass_id desc);
grant select, insert, delete on agenthall.agent_sync_passes to agenthall_system;
