-- Record the agent's fingerprint at the last comparison and the version of its assistant that matched it. While both
-- are unchanged, the agent needs no comparison: each write of an assistant raises its version (0002_assistants.sql).
alter table agenthall.agent_sync add column fingerprint bytea, add column assistant_version integer;
comment on column agenthall.agent_sync.fingerprint is
  'hash of the agent''s row, tools, engine and model, and of the mapping applied to them; null: compare again';
comment on column agenthall.agent_sync.assistant_version is 'version of the assistant that matches the fingerprint';
