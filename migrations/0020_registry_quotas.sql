-- Limit what one tenant may have: types of agents, configurations and instances. Delete a type that a tenant created
-- when its last configuration is deleted.
--
-- Rules
--   1. A manifest counts for the tenant that created it with a registration or a configuration. One that an
--      administrator has written counts for nobody, and is deleted only by an administrator.
--   2. An instance counts until it ends.
--   3. A limit of at most 4,096 instances, and every other limit, holds exactly. Close to it, transactions of one
--      tenant wait for each other (mcp.lock_quota), and each counts again in a later snapshot. A larger limit of
--      instances holds to a few percent: a registration reads a bounded number of rows, however large the tenant is.
--   4. ensure_manifest locks the manifest against deletion until its configuration is committed.
create function mcp.max_agent_types() returns integer language sql stable parallel safe as
$$ select coalesce(nullif(current_setting('mcp.max_agent_types', true), ''), '1000')::integer $$;
comment on function mcp.max_agent_types is
  'How many types of agents one tenant may create (setting mcp.max_agent_types, default 1000).';
create function mcp.max_configurations() returns integer language sql stable parallel safe as
$$ select coalesce(nullif(current_setting('mcp.max_configurations', true), ''), '1000')::integer $$;
comment on function mcp.max_configurations is
  'How many configurations one tenant may have (setting mcp.max_configurations, default 1000).';
create function mcp.max_instances() returns integer language sql stable parallel safe as
$$ select coalesce(nullif(current_setting('mcp.max_instances', true), ''), '100000')::integer $$;
comment on function mcp.max_instances is
  'How many instances that have not ended one tenant may have (setting mcp.max_instances, default 100000).';

create function mcp.reject_over_quota(tenant_id uuid, counted bigint, allowed integer, what text) returns void
language plpgsql as $$
begin
  if counted > allowed then
    raise exception 'tenant % has % %, and no more are allowed', tenant_id, allowed, what
      using errcode = 'AH003', constraint = 'too_many_' || replace(what, ' ', '_');
  end if;
end $$;
comment on function mcp.reject_over_quota is
  'Fail with AH003 if more are counted than allowed. The error''s constraint is the name of the quota.';

create function mcp.lock_quota(tenant_id uuid, counted bigint, allowed integer) returns boolean language plpgsql as $$
begin
  if counted <= allowed - 64 then
    return false;
  end if;
  perform pg_advisory_xact_lock(7168881, hashtext(tenant_id::text));
  return true;
end $$;
comment on function mcp.lock_quota is
  'Wait for other transactions of the tenant that come close to a limit, and return whether to count again. 64 is more '
  'than one server has transactions at a time.';

-- Types ---------------------------------------------------------------------------------------------------------------

alter table mcp.agent_manifests add column created_for uuid;
alter table mcp.agent_manifests alter column created_for set default mcp.current_tenant();
comment on column mcp.agent_manifests.created_for is
  'tenant whose registration or configuration created it; null: an administrator has written it';
create index agent_manifests_created_for on mcp.agent_manifests (created_for) where created_for is not null;
alter policy insert_identity on mcp.agent_manifests with check (created_for = (select mcp.current_tenant()));

create function mcp.delete_unused(manifest_ids uuid[]) returns void language plpgsql as $$
declare
  -- SKIP LOCKED: a locked manifest is getting a configuration.
  v_ids uuid[] := array(
    select m.id from mcp.agent_manifests m
     where m.id = any (manifest_ids) and m.created_for is not null
       and not exists (select from mcp.agent_configurations c where c.manifest_id = m.id)
       for update of m skip locked);
begin
  delete from mcp.agent_manifests m
   where m.id = any (v_ids) and not exists (select from mcp.agent_configurations c where c.manifest_id = m.id);
end $$;
comment on function mcp.delete_unused is
  'Delete those manifests that no configuration uses, unless an administrator has written them.';

create function mcp.limit_agent_types() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_tenant uuid;
  v_found  bigint;
begin
  for v_tenant in select distinct a.created_for from added a where a.created_for is not null loop
    select count(*) into v_found from mcp.agent_manifests m where m.created_for = v_tenant;
    if mcp.lock_quota(v_tenant, v_found, mcp.max_agent_types()) then
      perform mcp.delete_unused(array(
        select m.id from mcp.agent_manifests m
         where m.created_for = v_tenant and not exists (select from added a where a.id = m.id)));
      select count(*) into v_found from mcp.agent_manifests m where m.created_for = v_tenant;
    end if;
    perform mcp.reject_over_quota(v_tenant, v_found, mcp.max_agent_types(), 'agent types');
  end loop;
  return null;
end $$;
comment on function mcp.limit_agent_types is
  'Fail with AH003 if a tenant has created more types than mcp.max_agent_types() (trigger).';
create trigger limit_agent_types after insert on mcp.agent_manifests
  referencing new table as added for each statement execute function mcp.limit_agent_types();

create function mcp.ensure_manifest(agent_id text, created_for uuid) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_tenant uuid := coalesce(mcp.current_tenant(), ensure_manifest.created_for);
  v_id     uuid;
begin
  for attempt in 1 .. 10 loop -- the manifest may be deleted right after it was found
    select m.id into v_id from mcp.agent_manifests m
     where m.agent_id = ensure_manifest.agent_id for key share;
    if found then
      return v_id;
    end if;
    insert into mcp.agent_manifests (id, agent_id, created_for)
    values (gen_random_uuid(), ensure_manifest.agent_id, v_tenant) on conflict do nothing;
  end loop;
  raise exception 'the manifest of agent % is being deleted again and again; try again', ensure_manifest.agent_id
    using errcode = '40001';
end $$;
comment on function mcp.ensure_manifest is
  'Return the id of the manifest with this agent_id, and create it if it does not exist: for the tenant of this '
  'transaction, else for created_for. Lock it, so that it is not deleted before the transaction ends.';

-- Configurations ------------------------------------------------------------------------------------------------------

create function mcp.limit_configurations() returns trigger language plpgsql as $$
declare
  v_tenant uuid;
  v_found  bigint;
begin
  for v_tenant in select distinct a.tenant_id from added a loop
    select count(*) into v_found from mcp.agent_configurations c where c.tenant_id = v_tenant;
    if mcp.lock_quota(v_tenant, v_found, mcp.max_configurations()) then
      select count(*) into v_found from mcp.agent_configurations c where c.tenant_id = v_tenant;
    end if;
    perform mcp.reject_over_quota(v_tenant, v_found, mcp.max_configurations(), 'configurations');
  end loop;
  return null;
end $$;
comment on function mcp.limit_configurations is
  'Fail with AH003 if a tenant has more configurations than mcp.max_configurations() (trigger).';
create trigger limit_configurations after insert on mcp.agent_configurations
  referencing new table as added for each statement execute function mcp.limit_configurations();

create function mcp.delete_unused_manifests() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform mcp.delete_unused(array(select r.manifest_id from removed r));
  return null;
end $$;
comment on function mcp.delete_unused_manifests is
  'Delete the manifests that only these configurations used (trigger). One that is locked, as when the last two '
  'configurations are deleted at once, stays until mcp.limit_agent_types needs its place.';
create trigger delete_unused_manifests after delete on mcp.agent_configurations
  referencing old table as removed for each statement execute function mcp.delete_unused_manifests();

grant create on schema mcp to agenthall_system;
alter function mcp.limit_agent_types owner to agenthall_system;
alter function mcp.ensure_manifest owner to agenthall_system;
alter function mcp.delete_unused_manifests owner to agenthall_system;
revoke create on schema mcp from agenthall_system;
revoke execute on function mcp.ensure_manifest, mcp.limit_agent_types, mcp.delete_unused_manifests from public;
grant execute on function mcp.ensure_manifest to agenthall_app, agenthall_system;

create or replace function mcp.ensure_configuration(
  tenant_id uuid, agent_id text, name text, agent_type text, capabilities text[],
  out manifest_id uuid, out config_id uuid
) language plpgsql as $$
#variable_conflict use_column
declare
  v_tenant   uuid := ensure_configuration.tenant_id;
  v_agent_id text := ensure_configuration.agent_id;
  v_manifest uuid;
  v_enabled  boolean;
begin
  for attempt in 1 .. 10 loop -- the configuration may be deleted right after it was found
    v_manifest := mcp.manifest_id_for(v_agent_id);
    select c.id, c.enabled into config_id, v_enabled from mcp.agent_configurations c
     where c.tenant_id = v_tenant and c.manifest_id = v_manifest for key share;
    exit when found;
    insert into mcp.agent_configurations (tenant_id, manifest_id, name, agent_type, capabilities)
    values (v_tenant, mcp.ensure_manifest(v_agent_id, v_tenant), name, agent_type, coalesce(capabilities, '{}'))
    on conflict do nothing;
  end loop;
  if config_id is null then
    raise exception 'the configuration of agent % is being deleted again and again; try again', v_agent_id
      using errcode = '40001';
  elsif not v_enabled then
    raise exception 'agent % is disabled for tenant %', v_agent_id, v_tenant using errcode = 'AH001';
  end if;
  manifest_id := v_manifest;
end $$;

create or replace function mcp.insert_agent() returns trigger language plpgsql as $$
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
  v_manifest := mcp.ensure_manifest(v_agent_id, new.tenant_id);
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

-- Instances -----------------------------------------------------------------------------------------------------------

create function mcp.estimate(ids uuid[]) returns double precision language sql immutable parallel safe as $$
  select cardinality(ids) * 4294967296.0
         / (('x' || left(ids[cardinality(ids)]::text, 8))::bit(32)::bigint + 1)
$$;
comment on function mcp.estimate is
  'Estimate how many random ids there are, of which these are the smallest in their order. With n of them, the '
  'standard error is 1 / sqrt(n).';

-- The planner may expect few rows and sort all of the tenant's, so only scans of an index in its order are allowed.
create function mcp.limit_instances(tenant_id uuid) returns void
language plpgsql set enable_sort = off as $$
declare
  v_tenant uuid := limit_instances.tenant_id;
  v_max    integer := mcp.max_instances();
  v_sample integer;
  v_ids    uuid[];
begin
  -- A tenant at its limit is estimated at less than an eighth of it with 8 ids, or half of it with 64, once in 10^9
  -- times at most.
  foreach v_sample in array array[8, 64] loop
    v_ids := array(select i.id from mcp.agent_instances i
                    where i.tenant_id = v_tenant and i.registration_status <> 'inactive' order by i.id limit v_sample);
    if cardinality(v_ids) < v_sample and v_sample <= v_max
       or cardinality(v_ids) = v_sample and mcp.estimate(v_ids) < v_max / (case v_sample when 8 then 8 else 2 end) then
      return;
    end if;
  end loop;
  v_ids := array(select i.id from mcp.agent_instances i
                  where i.tenant_id = v_tenant and i.registration_status <> 'inactive' order by i.id limit 4096);
  if cardinality(v_ids) = 4096 then
    perform mcp.reject_over_quota(v_tenant, mcp.estimate(v_ids)::bigint, v_max, 'instances');
    return;
  end if;
  if mcp.lock_quota(v_tenant, cardinality(v_ids), v_max) then
    v_ids := array(select i.id from mcp.agent_instances i
                    where i.tenant_id = v_tenant and i.registration_status <> 'inactive' order by i.id limit 4096);
  end if;
  perform mcp.reject_over_quota(v_tenant, cardinality(v_ids), v_max, 'instances');
end $$;
comment on function mcp.limit_instances is
  'Fail with AH003 if the tenant has more instances that have not ended than mcp.max_instances(). Reads at most 4,096 '
  'of them: above that number, the limit holds to a few percent.';
