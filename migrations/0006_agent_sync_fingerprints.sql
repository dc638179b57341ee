-- What the catalogue said of an agent when it was last compared, and the version at which its assistant was equal to that.
-- While both still hold, nothing has to be compared again: every write of an assistant raises its version (0002_assistants.sql).
alter table agenthall.agent_sync add column fingerprint bytea, add column assistant_version integer;
comment on column agenthall.agent_sync.fingerprint is
  'hash of the agent''s row, tools, engine and model together with the mapping that was applied to them; null: compare';
