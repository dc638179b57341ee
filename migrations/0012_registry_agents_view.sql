-- mcp.agents, as the table was that older code knows: one row for each of a tenant's agents. It is made of configurations and live
-- instances, and says so: a column that is derived may only be given as what it is.
create function mcp.has_live_instance(tenant_id uuid, manifest_id uuid, at timestamptz) returns boolean language sql stable as $$
  select exists (
    select from mcp.agent_leases l
      left join mcp.lease_keepers k on k.id = l.keeper_id
     where l.tenant_id = has_live_instance.tenant_id and l.manifest_id = has_live_instance.manifest_id and l.lapsed_at is null
       and l.lease_bin >= mcp.oldest_live_bin(at) and mcp.is_alive(l, k, at))
$$;

create function mcp.workload_of_agent(tenant_id uuid, manifest_id uuid, at timestamptz) returns bigint language sql stable as $$
  select coalesce(sum(l.workload), 0)::bigint
    from mcp.agent_leases l
    left join mcp.lease_keepers k on k.id = l.keeper_id
   where l.tenant_id = workload_of_agent.tenant_id and l.manifest_id = workload_of_agent.manifest_id and l.lapsed_at is null
     and l.lease_bin >= mcp.oldest_live_bin(at) and mcp.is_alive(l, k, at)
$$;

create function mcp.agent_last_seen(tenant_id uuid, manifest_id uuid, live boolean, at timestamptz) returns timestamptz language sql stable as $$
  select greatest(
    (select max(l.last_health_check) from mcp.agent_leases l
      where l.tenant_id = agent_last_seen.tenant_id and l.manifest_id = agent_last_seen.manifest_id and l.lapsed_at is null
        and l.lease_bin >= mcp.oldest_live_bin(at) and live),
    -- where none lives, one of the last five minutes in which a lease ended that nobody has swept: not a walk through all of them
    (select l.last_health_check from mcp.agent_leases l
      where l.tenant_id = agent_last_seen.tenant_id and l.manifest_id = agent_last_seen.manifest_id and l.lapsed_at is null
      order by l.lease_bin desc limit 1),
    (select l.last_health_check from mcp.agent_leases l
      where l.tenant_id = agent_last_seen.tenant_id and l.manifest_id = agent_last_seen.manifest_id and l.lapsed_at is not null
      order by l.lapsed_at desc limit 1),
    (select max(i.last_seen_at) from mcp.agent_instances i
      where i.tenant_id = agent_last_seen.tenant_id and i.manifest_id = agent_last_seen.manifest_id and i.last_seen_at is not null))
$$;
comment on function mcp.agent_last_seen is
  'The last heartbeat of any instance; to five minutes while there are only lapsed ones that nobody has swept';

create view mcp.agents with (security_invoker = true) as
  select c.id, c.tenant_id, m.agent_id, c.name, c.agent_type as type,
         case when seen.live then 'active' when c.enabled then 'available' else 'offline' end as status,
         c.model_id, c.capabilities, c.configuration, c.system_prompt, c.temperature, c.max_tokens,
         case when seen.live then mcp.workload_of_agent(c.tenant_id, c.manifest_id, statement_timestamp()) else 0 end as current_workload,
         c.max_workload, mcp.agent_last_seen(c.tenant_id, c.manifest_id, seen.live, statement_timestamp()) as last_seen_at,
         c.created_at, c.updated_at, c.enabled
    from mcp.agent_configurations c
    join mcp.agent_manifests m on m.id = c.manifest_id
   cross join lateral (select mcp.has_live_instance(c.tenant_id, c.manifest_id, statement_timestamp()) as live offset 0) seen; -- OFFSET: asked once
grant select, insert, update, delete on mcp.agents to agenthall_app, agenthall_system;

create function mcp.refuse_column(name text, reason text) returns void language plpgsql as $$
begin
  raise exception 'column "%" of mcp.agents cannot be written: %', name, reason using errcode = '428C9', column = name;
end $$;

create function mcp.refuse_derived(given mcp.agents, stored mcp.agents) returns void language plpgsql as $$
begin
  if given.status is distinct from stored.status then
    perform mcp.refuse_column('status', format('it is %s; active comes from living instances, offline from enabled = false', stored.status));
  elsif given.current_workload is distinct from stored.current_workload then
    perform mcp.refuse_column('current_workload', 'it comes from heartbeats');
  elsif given.last_seen_at is distinct from stored.last_seen_at then
    perform mcp.refuse_column('last_seen_at', 'it comes from heartbeats');
  end if;
end $$;

create function mcp.refuse_name_of_another(tenant_id uuid, name text, id uuid) returns void language plpgsql as $$
begin
  if exists (select from mcp.agent_configurations c
              where c.tenant_id = refuse_name_of_another.tenant_id and c.name = refuse_name_of_another.name
                and c.id <> refuse_name_of_another.id) then
    raise exception 'duplicate key: tenant % already has an agent named "%"', tenant_id, name
      using errcode = '23505', constraint = 'agent_configurations_claimed_name';
  end if;
end $$;

create function mcp.agent_id_from_name(name text) returns text language plpgsql immutable as $$
declare
  v_id text := trim(both '-' from left(trim(both '-' from regexp_replace(lower(normalize(name, nfc)), '[^[:alnum:]]+', '-', 'g')), 128));
begin
  perform mcp.expect(mcp.is_agent_id(v_id), 'agent_id', format('cannot be made from the name %L; give one', name));
  return v_id;
end $$;

create function mcp.insert_agent() returns trigger language plpgsql as $$
declare
  v_agent_id text;
  v_manifest uuid;
  v_stored   mcp.agents;
begin
  if new.tenant_id is null then
    new.tenant_id := mcp.current_tenant();
  end if;
  if new.tenant_id is null or new.name is null then
    raise exception 'null value in column "%" of mcp.agents', case when new.name is null then 'name' else 'tenant_id' end
      using errcode = '23502', column = case when new.name is null then 'name' else 'tenant_id' end;
  end if;
  v_agent_id := coalesce(new.agent_id, mcp.agent_id_from_name(new.name));
  new.id := coalesce(new.id, gen_random_uuid());
  perform mcp.refuse_name_of_another(new.tenant_id, new.name, new.id);
  insert into mcp.agent_manifests (id, agent_id) values (gen_random_uuid(), v_agent_id) on conflict do nothing;
  v_manifest := mcp.manifest_id_for(v_agent_id);
  insert into mcp.agent_configurations (
    id, tenant_id, manifest_id, name, claims_name, agent_type, model_id, temperature, max_tokens, system_prompt, max_workload,
    capabilities, configuration, enabled, created_at, updated_at)
  values (
    new.id, new.tenant_id, v_manifest, new.name, true, new.type, new.model_id, new.temperature, new.max_tokens, new.system_prompt,
    new.max_workload, coalesce(new.capabilities, '{}'), coalesce(new.configuration, '{}'), coalesce(new.enabled, true),
    coalesce(new.created_at, clock_timestamp()), coalesce(new.updated_at, new.created_at, clock_timestamp()));
  select a.* into v_stored from mcp.agents a where a.id = new.id;
  new.status := coalesce(new.status, v_stored.status);
  new.current_workload := coalesce(new.current_workload, v_stored.current_workload);
  new.last_seen_at := coalesce(new.last_seen_at, v_stored.last_seen_at);
  perform mcp.refuse_derived(new, v_stored);
  return v_stored;
end $$;
create trigger insert_agent instead of insert on mcp.agents for each row execute function mcp.insert_agent();

create function mcp.update_agent() returns trigger language plpgsql as $$
declare
  v_stored mcp.agents;
begin
  if new.id is distinct from old.id then
    perform mcp.refuse_column('id', 'it stays');
  elsif new.tenant_id is distinct from old.tenant_id then
    perform mcp.refuse_column('tenant_id', 'an agent stays with its tenant');
  elsif new.agent_id is distinct from old.agent_id then
    perform mcp.refuse_column('agent_id', 'it is the agent''s identity; insert another agent');
  end if;
  perform mcp.refuse_derived(new, old);
  if new.name is distinct from old.name then
    perform mcp.refuse_name_of_another(new.tenant_id, new.name, new.id);
  end if;
  update mcp.agent_configurations c -- only what this statement changes: others may write other columns at this moment
     set claims_name = c.claims_name or new.name is distinct from old.name,
         name = case when new.name is distinct from old.name then new.name else c.name end,
         agent_type = case when new.type is distinct from old.type then new.type else c.agent_type end,
         model_id = case when new.model_id is distinct from old.model_id then new.model_id else c.model_id end,
         temperature = case when new.temperature is distinct from old.temperature then new.temperature else c.temperature end,
         max_tokens = case when new.max_tokens is distinct from old.max_tokens then new.max_tokens else c.max_tokens end,
         system_prompt = case when new.system_prompt is distinct from old.system_prompt then new.system_prompt else c.system_prompt end,
         max_workload = case when new.max_workload is distinct from old.max_workload then new.max_workload else c.max_workload end,
         capabilities = case when new.capabilities is distinct from old.capabilities then new.capabilities else c.capabilities end,
         configuration = case when new.configuration is distinct from old.configuration then new.configuration else c.configuration end,
         enabled = case when new.enabled is distinct from old.enabled then new.enabled else c.enabled end,
         created_at = case when new.created_at is distinct from old.created_at then new.created_at else c.created_at end,
         updated_at = case when new.updated_at is distinct from old.updated_at then new.updated_at else clock_timestamp() end
   where c.tenant_id = old.tenant_id and c.id = old.id;
  if not found then
    return null; -- deleted in between
  end if;
  select a.* into v_stored from mcp.agents a where a.id = old.id;
  return v_stored;
end $$;
create trigger update_agent instead of update on mcp.agents for each row execute function mcp.update_agent();

create function mcp.delete_agent() returns trigger language plpgsql as $$
begin
  delete from mcp.agent_configurations c where c.tenant_id = old.tenant_id and c.id = old.id;
  return case when found then old end;
end $$;
comment on function mcp.delete_agent is 'The configuration, and with it instances, leases and brakes; the manifest stays.';
create trigger delete_agent instead of delete on mcp.agents for each row execute function mcp.delete_agent();
