-- Create mcp.agents, a view in the form of the table that older code uses: one row for each agent of a tenant, computed
-- from configurations and live instances. A write of a computed column fails unless it repeats the column's value.
create function mcp.has_live_instance(tenant_id uuid, manifest_id uuid, at timestamptz) returns boolean
language sql stable as $$
  select exists (
    select from mcp.agent_leases l
      left join mcp.lease_keepers k on k.id = l.keeper_id
     where l.tenant_id = has_live_instance.tenant_id and l.manifest_id = has_live_instance.manifest_id
       and l.lapsed_at is null
       and l.lease_bin >= mcp.oldest_live_bin(at) and mcp.is_alive(l, k, at))
$$;
comment on function mcp.has_live_instance is 'Return whether a tenant has a live instance of a type.';

create function mcp.agent_workload(tenant_id uuid, manifest_id uuid, at timestamptz) returns bigint
language sql stable as $$
  select coalesce(sum(l.workload), 0)::bigint
    from mcp.agent_leases l
    left join mcp.lease_keepers k on k.id = l.keeper_id
   where l.tenant_id = agent_workload.tenant_id and l.manifest_id = agent_workload.manifest_id and l.lapsed_at is null
     and l.lease_bin >= mcp.oldest_live_bin(at) and mcp.is_alive(l, k, at)
$$;
comment on function mcp.agent_workload is 'Return the total workload of the live instances of a type.';

create function mcp.agent_last_seen(tenant_id uuid, manifest_id uuid, live boolean, at timestamptz) returns timestamptz
language sql stable as $$
  select greatest(
    (select max(l.last_health_check) from mcp.agent_leases l
      where l.tenant_id = agent_last_seen.tenant_id and l.manifest_id = agent_last_seen.manifest_id
        and l.lapsed_at is null
        and l.lease_bin >= mcp.oldest_live_bin(at) and live),
    -- Without a live instance: any lease of the latest lease_bin that has not been swept. Reading all of them is slow.
    (select l.last_health_check from mcp.agent_leases l
      where l.tenant_id = agent_last_seen.tenant_id and l.manifest_id = agent_last_seen.manifest_id
        and l.lapsed_at is null
      order by l.lease_bin desc limit 1),
    (select l.last_health_check from mcp.agent_leases l
      where l.tenant_id = agent_last_seen.tenant_id and l.manifest_id = agent_last_seen.manifest_id
        and l.lapsed_at is not null
      order by l.lapsed_at desc limit 1),
    (select max(i.last_seen_at) from mcp.agent_instances i
      where i.tenant_id = agent_last_seen.tenant_id and i.manifest_id = agent_last_seen.manifest_id
        and i.last_seen_at is not null))
$$;
comment on function mcp.agent_last_seen is
  'Return the last heartbeat of any instance of a type. It is precise to five minutes while only lapsed instances that '
  'have not been swept are left.';

create view mcp.agents with (security_invoker = true) as
  select c.id, c.tenant_id, m.agent_id, c.name, c.agent_type as type,
         case when seen.live then 'active' when c.enabled then 'available' else 'offline' end as status,
         c.model_id, c.capabilities, c.configuration, c.system_prompt, c.temperature, c.max_tokens,
         case when seen.live then mcp.agent_workload(c.tenant_id, c.manifest_id, statement_timestamp()) else 0 end
           as current_workload,
         c.max_workload,
         mcp.agent_last_seen(c.tenant_id, c.manifest_id, seen.live, statement_timestamp()) as last_seen_at,
         c.created_at, c.updated_at, c.enabled
    from mcp.agent_configurations c
    join mcp.agent_manifests m on m.id = c.manifest_id
   cross join lateral ( -- OFFSET 0: the function is called once for each row
     select mcp.has_live_instance(c.tenant_id, c.manifest_id, statement_timestamp()) as live offset 0) seen;
comment on view mcp.agents is
  'Agents of a tenant for older code: INSERT, UPDATE and DELETE change configurations. status is active with a live '
  'instance, else available if enabled, else offline.';
comment on column mcp.agents.id is 'the configuration''s id';
comment on column mcp.agents.current_workload is 'total workload of the live instances';
comment on column mcp.agents.last_seen_at is 'last heartbeat of any instance';
grant select, insert, update, delete on mcp.agents to agenthall_app, agenthall_system;

create function mcp.reject_column(name text, reason text) returns void language plpgsql as $$
begin
  raise exception 'column "%" of mcp.agents cannot be written: %', name, reason using errcode = '428C9', column = name;
end $$;
comment on function mcp.reject_column is 'Fail with 428C9 for a column that cannot be written.';

create function mcp.reject_computed_columns(written mcp.agents, stored mcp.agents) returns void language plpgsql as $$
begin
  if written.status is distinct from stored.status then
    perform mcp.reject_column(
      'status', format('it is %s; active comes from living instances, offline from enabled = false', stored.status));
  elsif written.current_workload is distinct from stored.current_workload then
    perform mcp.reject_column('current_workload', 'it comes from heartbeats');
  elsif written.last_seen_at is distinct from stored.last_seen_at then
    perform mcp.reject_column('last_seen_at', 'it comes from heartbeats');
  end if;
end $$;
comment on function mcp.reject_computed_columns is 'Fail with 428C9 if a written row changes a computed column.';

create function mcp.reject_duplicate_name(tenant_id uuid, name text, id uuid) returns void language plpgsql as $$
begin
  if exists (select from mcp.agent_configurations c
              where c.tenant_id = reject_duplicate_name.tenant_id and c.name = reject_duplicate_name.name
                and c.id <> reject_duplicate_name.id) then
    raise exception 'duplicate key: tenant % already has an agent named "%"', tenant_id, name
      using errcode = '23505', constraint = 'agent_configurations_claimed_name';
  end if;
end $$;
comment on function mcp.reject_duplicate_name is 'Fail with 23505 if another agent of the tenant has this name.';

create function mcp.agent_id_from_name(name text) returns text language plpgsql immutable as $$
declare
  v_words text := regexp_replace(lower(normalize(name, nfc)), '[^[:alnum:]]+', '-', 'g');
  v_id    text := trim(both '-' from left(trim(both '-' from v_words), 128));
begin
  perform mcp.check_argument(
    mcp.is_agent_id(v_id), 'agent_id', format('cannot be made from the name %L; give one', name));
  return v_id;
end $$;
comment on function mcp.agent_id_from_name is 'Make an agent_id from a name: "Code Review" becomes code-review.';

create function mcp.insert_agent() returns trigger language plpgsql as $$
declare
  v_agent_id text;
  v_manifest uuid;
  v_missing  text;
  v_stored   mcp.agents;
begin
  if new.tenant_id is null then
    new.tenant_id := mcp.current_tenant();
  end if;
  if new.tenant_id is null or new.name is null then
    v_missing := case when new.name is null then 'name' else 'tenant_id' end;
    raise exception 'null value in column "%" of mcp.agents', v_missing using errcode = '23502', column = v_missing;
  end if;
  v_agent_id := coalesce(new.agent_id, mcp.agent_id_from_name(new.name));
  new.id := coalesce(new.id, gen_random_uuid());
  perform mcp.reject_duplicate_name(new.tenant_id, new.name, new.id);
  insert into mcp.agent_manifests (id, agent_id) values (gen_random_uuid(), v_agent_id) on conflict do nothing;
  v_manifest := mcp.manifest_id_for(v_agent_id);
  insert into mcp.agent_configurations (
    id, tenant_id, manifest_id, name, claims_name, agent_type, model_id,
    temperature, max_tokens, system_prompt, max_workload,
    capabilities, configuration, enabled,
    created_at, updated_at)
  values (
    new.id, new.tenant_id, v_manifest, new.name, true, new.type, new.model_id,
    new.temperature, new.max_tokens, new.system_prompt, new.max_workload,
    coalesce(new.capabilities, '{}'), coalesce(new.configuration, '{}'), coalesce(new.enabled, true),
    coalesce(new.created_at, clock_timestamp()), coalesce(new.updated_at, new.created_at, clock_timestamp()));
  select a.* into v_stored from mcp.agents a where a.id = new.id;
  new.status := coalesce(new.status, v_stored.status);
  new.current_workload := coalesce(new.current_workload, v_stored.current_workload);
  new.last_seen_at := coalesce(new.last_seen_at, v_stored.last_seen_at);
  perform mcp.reject_computed_columns(new, v_stored);
  return v_stored;
end $$;
comment on function mcp.insert_agent is 'Create a configuration, and the manifest if it does not exist (trigger).';
create trigger insert_agent instead of insert on mcp.agents for each row execute function mcp.insert_agent();

create function mcp.update_agent() returns trigger language plpgsql as $$
declare
  v_stored mcp.agents;
begin
  if new.id is distinct from old.id then
    perform mcp.reject_column('id', 'it stays');
  elsif new.tenant_id is distinct from old.tenant_id then
    perform mcp.reject_column('tenant_id', 'an agent stays with its tenant');
  elsif new.agent_id is distinct from old.agent_id then
    perform mcp.reject_column('agent_id', 'it is the agent''s identity; insert another agent');
  end if;
  perform mcp.reject_computed_columns(new, old);
  if new.name is distinct from old.name then
    perform mcp.reject_duplicate_name(new.tenant_id, new.name, new.id);
  end if;
  -- Set only columns that this statement changes: another transaction may be writing the others.
  update mcp.agent_configurations c
     set claims_name = c.claims_name or new.name is distinct from old.name,
         name = case when new.name is distinct from old.name then new.name else c.name end,
         agent_type = case when new.type is distinct from old.type then new.type else c.agent_type end,
         model_id = case when new.model_id is distinct from old.model_id then new.model_id else c.model_id end,
         temperature = case when new.temperature is distinct from old.temperature
                            then new.temperature else c.temperature end,
         max_tokens = case when new.max_tokens is distinct from old.max_tokens
                           then new.max_tokens else c.max_tokens end,
         system_prompt = case when new.system_prompt is distinct from old.system_prompt
                              then new.system_prompt else c.system_prompt end,
         max_workload = case when new.max_workload is distinct from old.max_workload
                             then new.max_workload else c.max_workload end,
         capabilities = case when new.capabilities is distinct from old.capabilities
                             then new.capabilities else c.capabilities end,
         configuration = case when new.configuration is distinct from old.configuration
                              then new.configuration else c.configuration end,
         enabled = case when new.enabled is distinct from old.enabled then new.enabled else c.enabled end,
         created_at = case when new.created_at is distinct from old.created_at
                           then new.created_at else c.created_at end,
         updated_at = case when new.updated_at is distinct from old.updated_at
                           then new.updated_at else clock_timestamp() end
   where c.tenant_id = old.tenant_id and c.id = old.id;
  if not found then
    return null; -- the configuration was deleted in between
  end if;
  select a.* into v_stored from mcp.agents a where a.id = old.id;
  return v_stored;
end $$;
comment on function mcp.update_agent is 'Change the configuration (trigger).';
create trigger update_agent instead of update on mcp.agents for each row execute function mcp.update_agent();

create function mcp.delete_agent() returns trigger language plpgsql as $$
begin
  delete from mcp.agent_configurations c where c.tenant_id = old.tenant_id and c.id = old.id;
  return case when found then old end;
end $$;
comment on function mcp.delete_agent is
  'Delete the configuration with its instances, leases and brakes (trigger); the manifest stays.';
create trigger delete_agent instead of delete on mcp.agents for each row execute function mcp.delete_agent();
