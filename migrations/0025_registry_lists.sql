-- Let lists of configurations and manifests read a page, however many there are.
--
-- A configuration gets the agent_id of its manifest, which never changes, so that a tenant's configurations have an
-- order of their own. A trigger fills it in: those who insert a configuration may not see its manifest yet.
alter table mcp.agent_configurations add column agent_id text;
comment on column mcp.agent_configurations.agent_id is 'agent_id of the manifest';
-- Forced row-level security would hide the rows from their owner.
alter table mcp.agent_configurations no force row level security;
alter table mcp.agent_manifests no force row level security;
update mcp.agent_configurations c set agent_id = m.agent_id from mcp.agent_manifests m where m.id = c.manifest_id;
alter table mcp.agent_configurations force row level security;
alter table mcp.agent_manifests force row level security;
alter table mcp.agent_configurations alter column agent_id set not null;
alter table mcp.agent_configurations add constraint agent_configurations_manifest
  foreign key (manifest_id, agent_id) references mcp.agent_manifests (id, agent_id);
create index agent_configurations_by_agent_id on mcp.agent_configurations (tenant_id, agent_id);
create index agent_manifests_published on mcp.agent_manifests (agent_id) where published;

-- SECURITY DEFINER, because row-level security hides the manifest until the configuration exists.
create function mcp.fill_agent_id() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  new.agent_id := (select m.agent_id from mcp.agent_manifests m where m.id = new.manifest_id);
  return new;
end $$;
comment on function mcp.fill_agent_id is 'Fill in the agent_id of a new configuration (trigger).';
revoke execute on function mcp.fill_agent_id from public;
grant create on schema mcp to agenthall_system;
alter function mcp.fill_agent_id owner to agenthall_system;
revoke create on schema mcp from agenthall_system;
create trigger fill_agent_id before insert on mcp.agent_configurations for each row
  execute function mcp.fill_agent_id();
