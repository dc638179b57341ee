-- Create the functions of the registry. They are the API for psql, Go and any other SQL client, and the server itself
-- calls no others. A function runs with the rights of its caller: agenthall_app (row-level security), agenthall_system,
-- or the owner.
--
-- Rules
--   1. A function inserts with ON CONFLICT and reads afterwards. It never decides on an earlier SELECT that found no
--      row.
--   2. A function retries only when a row was deleted in between. It waits for locks in the order of 0009, rule 4.
--   3. The answer is a row. Errors: 22023 for an invalid value (its field is named), 42501 for a transaction of another
--      tenant, AH001 for a disabled configuration.
create function mcp.check_argument(is_valid boolean, field text, rule text) returns void language plpgsql as $$
begin
  if is_valid is not true then
    raise exception '% %', field, rule using errcode = '22023', column = field;
  end if;
end $$;
comment on function mcp.check_argument is 'Fail with 22023 and the name of the field unless the argument is valid.';

create function mcp.current_pace(out interval_seconds double precision, out ttl_seconds double precision)
language sql stable as $$
  select greatest(
           least(extract(epoch from mcp.heartbeat_interval())::double precision, s.ttl / 3),
           s.ttl / 30, p.interval_seconds),
         greatest(s.ttl, p.ttl_seconds)
    from mcp.lease_pace p, lateral (select greatest(extract(epoch from mcp.lease_ttl())::double precision, 1) as ttl) s
$$;
comment on function mcp.current_pace is
  'Return the interval between heartbeats and the length of a lease, without jitter. A lease lasts at least a second '
  'and three heartbeats fit into it.';

create function mcp.with_jitter(seconds double precision) returns double precision language sql volatile as
$$ select round((seconds * (0.9 + 0.2 * random()))::numeric, 3)::double precision $$;
comment on function mcp.with_jitter is 'Vary a duration by up to 10 %, so that instances spread their heartbeats.';

create function mcp.is_health(health text) returns boolean language sql immutable parallel safe as
$$ select health in ('starting', 'healthy', 'degraded', 'unhealthy') $$;
comment on function mcp.is_health is 'Return whether an instance may report this health; only the server sets stale.';

create function mcp.is_load(load jsonb) returns boolean language sql stable parallel safe as $$
  select jsonb_typeof(load) = 'object' and octet_length(load::text) <= 8192 and case
    when load -> 'workload' is null then true
    when jsonb_typeof(load -> 'workload') = 'number'
      then (load ->> 'workload')::numeric between 0 and 2147483647
       and (load ->> 'workload')::numeric = trunc((load ->> 'workload')::numeric)
    else false end
$$;
comment on function mcp.is_load is
  'Return whether an instance may report this load: an object of at most 8 KiB as PostgreSQL writes it, whose '
  '`workload` (the work in progress), if present, is a whole number.';

create function mcp.is_metrics(metrics jsonb) returns boolean language sql stable parallel safe as
$$ select jsonb_typeof(metrics) = 'object' and octet_length(metrics::text) <= 8192 $$;
comment on function mcp.is_metrics is
  'Return whether an instance may report these metrics: an object of at most 8 KiB as PostgreSQL writes it.';

-- Search terms --------------------------------------------------------------------------------------------------------

create function mcp.search_terms_of(i mcp.agent_instances) returns text[] language sql immutable as $$
  select case when i.registration_status = 'inactive' then '{}' else array(
    select distinct term from (
      select 'agent:' || i.agent_id
      union all select 'zone:' || i.zone where i.zone is not null
      union all select 'capability:' || capability from unnest(i.capabilities) capability
      union all select 'tag:' || tag from unnest(i.tags) tag) as terms (term)) end
$$;
comment on function mcp.search_terms_of is 'Return the search terms of an instance; none if it is inactive.';

create function mcp.update_search_terms() returns trigger language plpgsql as $$
declare
  v_terms text[] := mcp.search_terms_of(new);
begin
  if tg_op = 'UPDATE' then
    delete from mcp.agent_search_terms t
     where t.tenant_id = new.tenant_id and t.registration_id = new.id and t.term <> all (v_terms);
  end if;
  insert into mcp.agent_search_terms (tenant_id, term, registration_id)
  select new.tenant_id, term, new.id from unnest(v_terms) term
  on conflict do nothing;
  return null;
end $$;
comment on function mcp.update_search_terms is 'Bring the search terms of an instance in line with its row (trigger).';
create trigger insert_search_terms after insert on mcp.agent_instances for each row
  execute function mcp.update_search_terms();
create trigger update_search_terms after update on mcp.agent_instances for each row
  when (new.capabilities is distinct from old.capabilities or new.tags is distinct from old.tags
        or new.zone is distinct from old.zone
        or (new.registration_status = 'inactive') <> (old.registration_status = 'inactive'))
  execute function mcp.update_search_terms();

-- Lock the instances and leases of a configuration before the cascade deletes them, because the cascade locks them in
-- no particular order.
create function mcp.lock_dependents() returns trigger language plpgsql as $$
begin
  perform from mcp.agent_instances i
    where i.tenant_id = old.tenant_id and i.manifest_id = old.manifest_id order by i.id for update;
  perform from mcp.agent_leases l
    where l.tenant_id = old.tenant_id and l.manifest_id = old.manifest_id order by l.registration_id for update;
  return old;
end $$;
comment on function mcp.lock_dependents is
  'Lock the instances and leases of a configuration before it is deleted (trigger).';
create trigger lock_dependents before delete on mcp.agent_configurations for each row
  execute function mcp.lock_dependents();

-- Registration --------------------------------------------------------------------------------------------------------

create function mcp.ensure_configuration(
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
  for attempt in 1 .. 10 loop -- manifest or configuration may be deleted right after it was found
    v_manifest := mcp.manifest_id_for(v_agent_id);
    select c.id, c.enabled into config_id, v_enabled from mcp.agent_configurations c
     where c.tenant_id = v_tenant and c.manifest_id = v_manifest for key share;
    exit when found;
    -- No RETURNING and no conflict target: both need a visible manifest, and the tenant has not configured it yet.
    insert into mcp.agent_manifests (id, agent_id) values (gen_random_uuid(), v_agent_id) on conflict do nothing;
    v_manifest := mcp.manifest_id_for(v_agent_id);
    continue when v_manifest is null;
    insert into mcp.agent_configurations (tenant_id, manifest_id, name, agent_type, capabilities)
    values (v_tenant, v_manifest, name, agent_type, coalesce(capabilities, '{}')) on conflict do nothing;
  end loop;
  if config_id is null then
    raise exception 'the configuration of agent % is being deleted again and again; try again', v_agent_id
      using errcode = '40001';
  elsif not v_enabled then
    raise exception 'agent % is disabled for tenant %', v_agent_id, v_tenant using errcode = 'AH001';
  end if;
  manifest_id := v_manifest;
end $$;
comment on function mcp.ensure_configuration is
  'Return the manifest and the configuration of a registration, and create those that do not exist. Fail with AH001 if '
  'the configuration is disabled.';

create function mcp.register_agent_instance(
  tenant_id uuid, agent_id text, instance_id text, name text, connection_details jsonb, runtime_config jsonb,
  capabilities text[] default null, version text default null, agent_type text default null, zone text default null,
  tags text[] default null, idempotency_key text default null, registered_by text default null,
  keeper_id uuid default null, health text default 'healthy', now timestamptz default null
) returns table (
  registration_id uuid, manifest_id uuid, config_id uuid, is_new boolean, message text, epoch bigint,
  lease_ttl_seconds double precision, heartbeat_interval_seconds double precision
) language plpgsql as $$
#variable_conflict use_column
declare
  v_now          timestamptz := coalesce(register_agent_instance.now, clock_timestamp());
  v_name         text := coalesce(register_agent_instance.name, register_agent_instance.agent_id);
  v_connection   jsonb := coalesce(nullif(register_agent_instance.connection_details, 'null'), '{}');
  v_runtime      jsonb := coalesce(nullif(register_agent_instance.runtime_config, 'null'), '{}');
  v_capabilities text[] := register_agent_instance.capabilities;
  v_tags         text[] := register_agent_instance.tags;
  v_key          text := register_agent_instance.idempotency_key;
  v_repeated     boolean := false;
  v_lapsed       boolean := false;
  v_interval     double precision;
begin
  perform mcp.act_for(tenant_id);
  perform mcp.check_argument(
    mcp.is_agent_id(agent_id), 'agent_id',
    'must be a meaningful name of 1 to 128 printable characters, in Unicode''s form NFC, not a UUID');
  perform mcp.check_argument(
    char_length(instance_id) between 1 and 255 and mcp.is_printable(instance_id), 'instance_id',
    'must have 1 to 255 printable characters');
  perform mcp.check_argument(char_length(v_name) between 1 and 255, 'name', 'must have 1 to 255 characters');
  perform mcp.check_argument(
    mcp.is_object(v_connection), 'connection_details', 'must be a JSON object of at most 64 KiB');
  perform mcp.check_argument(mcp.is_object(v_runtime), 'runtime_config', 'must be a JSON object of at most 64 KiB');
  perform mcp.check_argument(
    v_capabilities is null or mcp.is_string_list(v_capabilities), 'capabilities',
    'must be at most 64 words of 1 to 128 characters');
  perform mcp.check_argument(
    v_tags is null or mcp.is_string_list(v_tags), 'tags', 'must be at most 64 words of 1 to 128 characters');
  perform mcp.check_argument(
    coalesce(char_length(version), 1) between 1 and 128, 'version', 'must have 1 to 128 characters');
  perform mcp.check_argument(
    coalesce(char_length(agent_type), 1) between 1 and 128, 'agent_type', 'must have 1 to 128 characters');
  perform mcp.check_argument(coalesce(char_length(zone), 1) between 1 and 128, 'zone', 'must have 1 to 128 characters');
  perform mcp.check_argument(
    coalesce(char_length(v_key), 1) between 1 and 255, 'idempotency_key', 'must have 1 to 255 characters');
  perform mcp.check_argument(
    coalesce(char_length(registered_by), 1) between 0 and 255, 'registered_by', 'must have at most 255 characters');
  perform mcp.check_argument(mcp.is_health(health), 'health', 'must be starting, healthy, degraded or unhealthy');

  select c.manifest_id, c.config_id into manifest_id, config_id
    from mcp.ensure_configuration(tenant_id, agent_id, v_name, agent_type, v_capabilities) c;

  insert into mcp.agent_instances as i (
    tenant_id, manifest_id, agent_id, instance_id, name, agent_type, version,
    capabilities, tags, zone, connection_details, runtime_config,
    idempotency_key, registered_by, registered_at, connected_at, updated_at)
  values (
    tenant_id, manifest_id, agent_id, instance_id, v_name, agent_type, version,
    coalesce(v_capabilities, '{}'), coalesce(v_tags, '{}'), zone, v_connection, v_runtime,
    v_key, registered_by, v_now, v_now, v_now)
  on conflict (tenant_id, manifest_id, instance_id) do update
    set epoch = i.epoch + 1, name = excluded.name, agent_type = coalesce(excluded.agent_type, i.agent_type),
        version = coalesce(excluded.version, i.version), capabilities = coalesce(v_capabilities, i.capabilities),
        tags = coalesce(v_tags, i.tags), zone = coalesce(excluded.zone, i.zone),
        connection_details = excluded.connection_details, runtime_config = excluded.runtime_config,
        registration_status = 'active', status_reason = null,
        idempotency_key = excluded.idempotency_key, registered_by = excluded.registered_by,
        connected_at = v_now, updated_at = v_now, ended_at = null, last_seen_at = null
    where i.idempotency_key is null or i.idempotency_key is distinct from excluded.idempotency_key
  returning i.id, i.epoch into registration_id, epoch;
  if not found then -- a repeated call, whose first answer was lost; ON CONFLICT has locked the row nevertheless
    v_repeated := true;
    select i.id, i.epoch into registration_id, epoch from mcp.agent_instances i
     where i.tenant_id = register_agent_instance.tenant_id and i.manifest_id = register_agent_instance.manifest_id
       and i.instance_id = register_agent_instance.instance_id;
    select l.lapsed_at is not null into v_lapsed from mcp.agent_leases l
     where l.registration_id = register_agent_instance.registration_id for no key update;
  end if;

  select p.interval_seconds, p.ttl_seconds into v_interval, lease_ttl_seconds from mcp.current_pace() p;
  insert into mcp.agent_leases as l (
    registration_id, tenant_id, manifest_id, epoch, lease_expires_at, last_health_check,
    keeper_id, lease_ttl, health_status)
  values (
    registration_id, tenant_id, manifest_id, epoch, v_now + make_interval(secs => lease_ttl_seconds), v_now,
    keeper_id, make_interval(secs => lease_ttl_seconds), health)
  on conflict (registration_id) do update
    set lease_expires_at = excluded.lease_expires_at, last_health_check = excluded.last_health_check,
        keeper_id = excluded.keeper_id, lease_ttl = excluded.lease_ttl, lapsed_at = null, epoch = excluded.epoch,
        health_status = case when l.epoch = excluded.epoch and l.lapsed_at is null then l.health_status
                             else excluded.health_status end,
        workload = case when l.epoch = excluded.epoch then l.workload else 0 end,
        load = case when l.epoch = excluded.epoch then l.load else '{}' end,
        metrics = case when l.epoch = excluded.epoch then l.metrics else '{}' end;

  if not v_repeated or v_lapsed then
    perform mcp.record_agent_events(
      case when v_lapsed then 'revived' when epoch = 1 then 'registered' else 'reconnected' end,
      array[registration_id], v_now);
  end if;
  is_new := epoch = 1; -- true for a repeated first call too: the client has not received the first answer
  message := case when epoch = 1 then 'Agent instance registered' else 'Agent instance reconnected' end;
  heartbeat_interval_seconds := mcp.with_jitter(v_interval);
  return next;
end $$;
comment on function mcp.register_agent_instance is
  'Register an instance and start its lease. Create the manifest and the configuration if they do not exist. Return '
  'one row. Each registration raises the epoch. Arguments capabilities, version, agent_type, zone and tags that are '
  'null keep the value of an earlier registration. A call that repeats the latest idempotency_key keeps the epoch, '
  'returns the same answer and renews the lease.';

-- Heartbeats ----------------------------------------------------------------------------------------------------------

create function mcp.heartbeat_agent_instance(
  tenant_id uuid, registration_id uuid, epoch bigint, health text default null, load jsonb default null,
  metrics jsonb default null, keeper_id uuid default null, now timestamptz default null
) returns table (outcome text, heartbeat_interval_seconds double precision, lease_ttl_seconds double precision)
language plpgsql as $$
#variable_conflict use_column
declare
  v_now     timestamptz := coalesce(heartbeat_agent_instance.now, clock_timestamp());
  v_id      uuid := heartbeat_agent_instance.registration_id;
  v_tenant  uuid := heartbeat_agent_instance.tenant_id;
  v_epoch   bigint := heartbeat_agent_instance.epoch;
  v_load    jsonb := nullif(heartbeat_agent_instance.load, 'null');
  v_metrics jsonb := nullif(heartbeat_agent_instance.metrics, 'null');
  v_keeper  uuid := heartbeat_agent_instance.keeper_id;
  v_lease   mcp.agent_leases;
  v_health  text;
begin
  perform mcp.act_for(v_tenant);
  perform mcp.check_argument(v_epoch is not null, 'epoch', 'must be given');
  perform mcp.check_argument(
    health is null or mcp.is_health(health), 'health', 'must be starting, healthy, degraded or unhealthy');
  perform mcp.check_argument(
    v_load is null or mcp.is_load(v_load), 'load',
    'must be a JSON object of at most 8 KiB, its workload a whole number');
  perform mcp.check_argument(
    v_metrics is null or mcp.is_metrics(v_metrics), 'metrics', 'must be a JSON object of at most 8 KiB');
  select p.interval_seconds, p.ttl_seconds into heartbeat_interval_seconds, lease_ttl_seconds
    from mcp.current_pace() p;
  heartbeat_interval_seconds := mcp.with_jitter(heartbeat_interval_seconds);

  select l.* into v_lease from mcp.agent_leases l
   where l.registration_id = v_id and l.tenant_id = v_tenant for no key update;
  if v_lease.epoch = v_epoch then
    v_health := coalesce(health, case v_lease.health_status when 'stale' then 'healthy' else v_lease.health_status end);
    update mcp.agent_leases l
       set lease_expires_at = v_now + make_interval(secs => lease_ttl_seconds), last_health_check = v_now,
           lapsed_at = null, keeper_id = v_keeper, lease_ttl = make_interval(secs => lease_ttl_seconds),
           health_status = v_health,
           workload = coalesce((v_load ->> 'workload')::numeric::integer, l.workload),
           load = coalesce(v_load, l.load), metrics = coalesce(v_metrics, l.metrics)
     where l.registration_id = v_id;
    if v_lease.health_status <> v_health then
      perform mcp.record_agent_events(
        case when v_lease.lapsed_at is null then 'health' else 'revived' end, array[v_id], v_now);
    end if;
    outcome := 'ok';
  else
    outcome := mcp.heartbeat_rejection(v_tenant, v_id, v_epoch);
  end if;
  return next;
end $$;
comment on function mcp.heartbeat_agent_instance is
  'Extend the lease of an instance and return when to send the next heartbeat. A stale instance becomes alive again. '
  'outcome: ok, superseded (a later registration exists), or must_register (the instance is inactive or unknown, or '
  'never had this epoch). Arguments health, load and metrics that are null keep their value.';

create function mcp.heartbeat_rejection(tenant_id uuid, registration_id uuid, epoch bigint) returns text
language sql stable as $$
  select coalesce((
    select 'superseded' from mcp.agent_instances i
     where i.id = heartbeat_rejection.registration_id and i.epoch > heartbeat_rejection.epoch
       and (heartbeat_rejection.tenant_id is null or i.tenant_id = heartbeat_rejection.tenant_id)), 'must_register')
$$;
comment on function mcp.heartbeat_rejection is
  'Return why a heartbeat without a matching lease is rejected: superseded or must_register. A null tenant_id means '
  'any tenant that the caller sees.';

create function mcp.outage_start(keeper mcp.lease_keepers, at timestamptz) returns timestamptz language sql stable as $$
  select case
    when keeper.last_heartbeat < keeper.outage_ended + mcp.lease_grace()
     and keeper.last_heartbeat < keeper.outage_began + mcp.longest_outage() + mcp.lease_grace() then keeper.outage_began
    else keeper.last_heartbeat end
   where keeper.stopped_at is null and at > keeper.last_heartbeat + interval '3 seconds'
$$;
comment on function mcp.outage_start is
  'Return when the outage began that ends at a moment, or null if there was none. An outage that begins within the '
  'grace of another continues it, for at most mcp.longest_outage() plus one grace. Without that limit a keeper that '
  'keeps failing would keep its instances alive forever.';

create function mcp.touch_lease_keeper(id uuid, at timestamptz) returns void language sql volatile as $$
  update mcp.lease_keepers k set last_heartbeat = at, outage_began = mcp.outage_start(k, at), outage_ended = at
   where k.id = touch_lease_keeper.id and mcp.outage_start(k, at) is not null
$$;
comment on function mcp.touch_lease_keeper is
  'End the outage of a keeper through which heartbeats arrive. The keeper''s own next heartbeat might be lost again.';

create function mcp.heartbeat_agent_instances(
  registration_ids uuid[], epochs bigint[], healths text[] default null, loads jsonb[] default null,
  metrics jsonb[] default null, keeper_id uuid default null, now timestamptz default null
) returns table (registration_id uuid, epoch bigint, outcome text) language plpgsql as $$
#variable_conflict use_column
declare
  v_now     timestamptz := coalesce(heartbeat_agent_instances.now, clock_timestamp());
  v_keeper  uuid := heartbeat_agent_instances.keeper_id;
  v_metrics jsonb[] := heartbeat_agent_instances.metrics;
  v_ttl     interval := (select make_interval(secs => p.ttl_seconds) from mcp.current_pace() p);
  v_updated uuid[];
  v_changed uuid[];
  v_revived uuid[];
begin
  perform mcp.check_argument(
    cardinality(registration_ids) = cardinality(epochs), 'epochs', 'must be as many as registration_ids');
  perform set_config('synchronous_commit', 'off', true); -- the next heartbeats replace those that a crash loses
  if v_keeper is not null then
    perform mcp.touch_lease_keeper(v_keeper, v_now);
  end if;
  perform from mcp.agent_leases l
   where l.registration_id = any (registration_ids) order by l.registration_id for no key update;
  with heartbeats as (
    select h.registration_id, h.epoch, h.health, nullif(h.load, 'null') as load, nullif(h.metrics, 'null') as metrics,
           h.ordinal
      from unnest(registration_ids, epochs, healths, loads, v_metrics) with ordinality
        as h (registration_id, epoch, health, load, metrics, ordinal)),
  latest as materialized ( -- evaluated once, even with a plan that was made when there were few leases
    select distinct on (h.registration_id) h.registration_id, h.epoch, h.load, h.metrics,
           l.health_status as former, l.lapsed_at is not null as lapsed,
           coalesce(h.health, case l.health_status when 'stale' then 'healthy' else l.health_status end) as health
      from heartbeats h
      join mcp.agent_leases l on l.registration_id = h.registration_id and l.epoch = h.epoch
     where (h.health is null or mcp.is_health(h.health)) and (h.load is null or mcp.is_load(h.load))
       and (h.metrics is null or mcp.is_metrics(h.metrics))
     order by h.registration_id, h.ordinal desc),
  updated as (
    update mcp.agent_leases l
       set lease_expires_at = v_now + v_ttl, last_health_check = v_now, lapsed_at = null, keeper_id = v_keeper,
           lease_ttl = v_ttl, health_status = n.health,
           workload = coalesce((n.load ->> 'workload')::numeric::integer, l.workload),
           load = coalesce(n.load, l.load), metrics = coalesce(n.metrics, l.metrics)
      from latest n
     where l.registration_id = n.registration_id
    returning l.registration_id, n.former <> n.health and not n.lapsed as changed, n.lapsed)
  select array_agg(u.registration_id), array_agg(u.registration_id) filter (where u.changed),
         array_agg(u.registration_id) filter (where u.lapsed)
    into v_updated, v_changed, v_revived from updated u;
  if v_changed is not null then
    perform mcp.record_agent_events('health', v_changed, v_now);
  end if;
  if v_revived is not null then
    perform mcp.record_agent_events('revived', v_revived, v_now);
  end if;
  if cardinality(v_updated) = cardinality(registration_ids) then
    return query
      select h.registration_id, h.epoch, 'ok' from unnest(registration_ids, epochs) as h (registration_id, epoch);
    return;
  end if;
  return query
    select h.registration_id, h.epoch, case
        when l.registration_id is null
          then mcp.heartbeat_rejection(null, h.registration_id, h.epoch)
        when not ((h.health is null or mcp.is_health(h.health))
                  and (nullif(h.load, 'null') is null or mcp.is_load(h.load))
                  and (nullif(h.metrics, 'null') is null or mcp.is_metrics(h.metrics)))
          then 'invalid'
        else 'ok' end
      from unnest(registration_ids, epochs, healths, loads, v_metrics) with ordinality
        as h (registration_id, epoch, health, load, metrics, ordinal)
      left join mcp.agent_leases l on l.registration_id = h.registration_id and l.epoch = h.epoch
     order by h.ordinal;
end $$;
comment on function mcp.heartbeat_agent_instances is
  'Extend the leases of many instances, of all tenants that the caller sees, in one UPDATE. Of several heartbeats of '
  'one registration the last one counts. Return one row for each heartbeat in the order given. outcome: ok, '
  'superseded, must_register, or invalid (mcp.heartbeat_agent_instance would reject its health, load or metrics; '
  'nothing was written). The commit does not wait for the disk.';

-- Drain and end -------------------------------------------------------------------------------------------------------

create function mcp.lock_instance(
  tenant_id uuid, registration_id uuid, epoch bigint, out outcome text, out status text
) language plpgsql as $$
#variable_conflict use_column
declare
  v_epoch bigint;
begin
  perform mcp.act_for(tenant_id);
  select i.epoch, i.registration_status into v_epoch, status from mcp.agent_instances i
   where i.id = lock_instance.registration_id and i.tenant_id = lock_instance.tenant_id for no key update;
  outcome := case
    when v_epoch is null or lock_instance.epoch > v_epoch then 'unknown'
    when lock_instance.epoch < v_epoch then 'superseded'
    else 'ok' end;
end $$;
comment on function mcp.lock_instance is
  'Lock an instance and compare the epoch with its latest registration. outcome: ok, superseded, or unknown (no such '
  'instance, or an epoch that it never had). A null epoch, which operators use, matches any.';

create function mcp.end_instances(registration_ids uuid[], reason text, kind text, at timestamptz) returns void
language plpgsql as $$
begin
  -- EXECUTE makes a plan for these ids. A plan shared by one id and by ten thousand reads the whole tenant for one id.
  execute $update$
    update mcp.agent_instances i
       set registration_status = 'inactive', status_reason = $2, ended_at = $3, updated_at = $3, idempotency_key = null,
           last_seen_at = l.last_health_check
      from mcp.agent_leases l
     where l.registration_id = i.id and i.id = any ($1)$update$ using registration_ids, reason, at;
  execute 'delete from mcp.agent_leases l where l.registration_id = any ($1)' using registration_ids;
  perform mcp.record_agent_events(kind, registration_ids, at);
end $$;
comment on function mcp.end_instances is
  'End instances: make them inactive, delete their leases and record an event of this kind; no other function does. '
  'The caller has locked the instances in the order of their ids.';

create function mcp.deregister_agent_instance(
  tenant_id uuid, registration_id uuid, epoch bigint, reason text default null, now timestamptz default null
) returns table (outcome text) language plpgsql as $$
#variable_conflict use_column
declare
  v_status text;
begin
  perform mcp.check_argument(coalesce(char_length(reason), 0) <= 1024, 'reason', 'must have at most 1024 characters');
  select h.outcome, h.status into outcome, v_status from mcp.lock_instance(tenant_id, registration_id, epoch) h;
  if outcome = 'ok' and v_status <> 'inactive' then
    perform mcp.end_instances(
      array[registration_id], reason, 'deregistered', coalesce(deregister_agent_instance.now, clock_timestamp()));
  end if;
  return next;
end $$;
comment on function mcp.deregister_agent_instance is
  'End an instance that leaves on purpose; its row stays as history. outcome: ok (even if it had ended), superseded, '
  'or unknown.';

create function mcp.drain_agent_instance(
  tenant_id uuid, registration_id uuid, epoch bigint, reason text default null, now timestamptz default null
) returns table (outcome text) language plpgsql as $$
#variable_conflict use_column
declare
  v_now    timestamptz := coalesce(drain_agent_instance.now, clock_timestamp());
  v_status text;
begin
  perform mcp.check_argument(coalesce(char_length(reason), 0) <= 1024, 'reason', 'must have at most 1024 characters');
  select h.outcome, h.status into outcome, v_status from mcp.lock_instance(tenant_id, registration_id, epoch) h;
  if outcome = 'ok' and v_status = 'inactive' then
    outcome := 'unknown';
  elsif outcome = 'ok' and v_status = 'active' then
    update mcp.agent_instances i set registration_status = 'draining', status_reason = reason, updated_at = v_now
     where i.id = drain_agent_instance.registration_id;
    perform mcp.record_agent_events('draining', array[drain_agent_instance.registration_id], v_now);
  end if;
  return next;
end $$;
comment on function mcp.drain_agent_instance is
  'Let an instance finish its work without new work until it registers again. outcome: ok (even if it was draining), '
  'superseded, or unknown (no such instance, or inactive).';

create function mcp.disconnect_agent_instance(
  tenant_id uuid, registration_id uuid, epoch bigint, grace_seconds double precision, now timestamptz default null
) returns table (outcome text) language plpgsql as $$
#variable_conflict use_column
declare
  v_now    timestamptz := coalesce(disconnect_agent_instance.now, clock_timestamp());
  v_id     uuid := disconnect_agent_instance.registration_id;
  v_status text;
begin
  perform mcp.check_argument(grace_seconds between 0 and 3600, 'grace_seconds', 'must be between 0 and 3600');
  select h.outcome, h.status into outcome, v_status from mcp.lock_instance(tenant_id, v_id, epoch) h;
  if outcome = 'ok' and v_status = 'inactive' then
    outcome := 'unknown';
  elsif outcome = 'ok' then
    -- Without a keeper, an outage of the server does not revive an instance that left before it.
    update mcp.agent_leases l
       set lease_expires_at = least(l.lease_expires_at, v_now + make_interval(secs => grace_seconds)), keeper_id = null
     where l.registration_id = v_id;
    perform mcp.record_agent_events('disconnected', array[v_id], v_now);
  end if;
  return next;
end $$;
comment on function mcp.disconnect_agent_instance is
  'Shorten the lease of an instance whose connection dropped to grace_seconds. A registration or heartbeat extends it '
  'again. outcome: ok, superseded, or unknown (no such instance, or inactive).';

create function mcp.update_agent_instance(
  tenant_id uuid, registration_id uuid, epoch bigint, name text default null, capabilities text[] default null,
  version text default null, zone text default null, tags text[] default null, connection_details jsonb default null,
  runtime_config jsonb default null, now timestamptz default null
) returns table (outcome text) language plpgsql as $$
#variable_conflict use_column
declare
  v_now      timestamptz := coalesce(update_agent_instance.now, clock_timestamp());
  v_id       uuid := update_agent_instance.registration_id;
  v_new      mcp.agent_instances;
  v_status   text;
begin
  v_new.name := name; v_new.capabilities := capabilities; v_new.version := version; v_new.zone := zone;
  v_new.tags := tags; v_new.connection_details := nullif(connection_details, 'null');
  v_new.runtime_config := nullif(runtime_config, 'null');
  perform mcp.check_argument(
    coalesce(char_length(v_new.name), 1) between 1 and 255, 'name', 'must have 1 to 255 characters');
  perform mcp.check_argument(
    v_new.capabilities is null or mcp.is_string_list(v_new.capabilities), 'capabilities',
    'must be at most 64 words of 1 to 128 characters');
  perform mcp.check_argument(
    coalesce(char_length(v_new.version), 1) between 1 and 128, 'version', 'must have 1 to 128 characters');
  perform mcp.check_argument(
    coalesce(char_length(v_new.zone), 1) between 1 and 128, 'zone', 'must have 1 to 128 characters');
  perform mcp.check_argument(
    v_new.tags is null or mcp.is_string_list(v_new.tags), 'tags', 'must be at most 64 words of 1 to 128 characters');
  perform mcp.check_argument(
    v_new.connection_details is null or mcp.is_object(v_new.connection_details), 'connection_details',
    'must be a JSON object of at most 64 KiB');
  perform mcp.check_argument(
    v_new.runtime_config is null or mcp.is_object(v_new.runtime_config), 'runtime_config',
    'must be a JSON object of at most 64 KiB');
  select h.outcome, h.status into outcome, v_status from mcp.lock_instance(tenant_id, v_id, epoch) h;
  if outcome = 'ok' and v_status = 'inactive' then
    outcome := 'unknown';
  elsif outcome = 'ok' then
    update mcp.agent_instances i
       set name = coalesce(v_new.name, i.name), capabilities = coalesce(v_new.capabilities, i.capabilities),
           version = coalesce(v_new.version, i.version), zone = coalesce(v_new.zone, i.zone),
           tags = coalesce(v_new.tags, i.tags),
           connection_details = coalesce(v_new.connection_details, i.connection_details),
           runtime_config = coalesce(v_new.runtime_config, i.runtime_config), updated_at = v_now
     where i.id = v_id;
    perform mcp.record_agent_events('updated', array[v_id], v_now);
  end if;
  return next;
end $$;
comment on function mcp.update_agent_instance is
  'Change the properties of an instance without a new epoch. Arguments that are null keep their value. outcome: ok, '
  'superseded, or unknown (no such instance, or inactive).';

-- Keepers of leases ---------------------------------------------------------------------------------------------------

create function mcp.heartbeat_lease_keeper(id uuid, kind text, now timestamptz default null) returns mcp.lease_keepers
language plpgsql as $$
#variable_conflict use_column
declare
  v_now    timestamptz := coalesce(heartbeat_lease_keeper.now, clock_timestamp());
  v_keeper mcp.lease_keepers;
begin
  perform set_config('synchronous_commit', 'off', true);
  insert into mcp.lease_keepers as k (id, kind, started_at, last_heartbeat) values (id, kind, v_now, v_now)
  on conflict (id) do update
    set last_heartbeat = v_now, stopped_at = null,
        outage_began = coalesce(mcp.outage_start(k, v_now), k.outage_began),
        outage_ended = case when mcp.outage_start(k, v_now) is null then k.outage_ended else v_now end
  returning k.* into v_keeper;
  return v_keeper;
end $$;
comment on function mcp.heartbeat_lease_keeper is
  'Record that a process can receive heartbeats. Each such process calls this once a second. Three seconds of silence '
  'are an outage, which is recorded when it ends.';

create function mcp.stop_lease_keeper(id uuid, now timestamptz default null) returns boolean language plpgsql as $$
#variable_conflict use_column
begin
  update mcp.lease_keepers k set stopped_at = coalesce(stop_lease_keeper.now, clock_timestamp())
   where k.id = stop_lease_keeper.id;
  return found;
end $$;
comment on function mcp.stop_lease_keeper is
  'Record that a keeper stops on request, so that its silence is no outage. Return false if the keeper is unknown.';

-- Sweeping ------------------------------------------------------------------------------------------------------------

create function mcp.update_brakes(at timestamptz, out live bigint, out lapsing bigint) language sql volatile as $$
  with sets as materialized (
    select l.tenant_id, l.manifest_id, count(*) as total, count(*) filter (where l.lapsed_at is not null) as stale,
           count(*) filter (where l.lapsed_at is null and not mcp.is_alive(l, k, at)) as lapsing
      from mcp.agent_leases l
      left join mcp.lease_keepers k on k.id = l.keeper_id
     group by l.tenant_id, l.manifest_id),
  holding as materialized (
    select s.tenant_id, s.manifest_id, s.stale + s.lapsing as stale, s.total, s.lapsing > 0.15 * s.total as is_renewed
      from mcp.agent_brakes b
      join sets s on s.tenant_id = b.tenant_id and s.manifest_id = b.manifest_id
     where s.stale + s.lapsing > 0.15 * s.total
       and (s.lapsing > 0.15 * s.total or b.since > at - mcp.brake_hold()
            or exists (select from mcp.lease_keepers k where k.outage_ended > at - mcp.brake_hold()))),
  released as (
    delete from mcp.agent_brakes b where not exists (
      select from holding h where h.tenant_id = b.tenant_id and h.manifest_id = b.manifest_id)),
  updated as (
    update mcp.agent_brakes b
       set stale = h.stale, total = h.total, since = case when h.is_renewed then at else b.since end
      from holding h
     where h.tenant_id = b.tenant_id and h.manifest_id = b.manifest_id
       and (h.is_renewed or (b.stale, b.total) is distinct from (h.stale, h.total))),
  engaged as (
    insert into mcp.agent_brakes (tenant_id, manifest_id, since, stale, total)
    select s.tenant_id, s.manifest_id, at, s.stale + s.lapsing, s.total from sets s
     where s.total > 6 and s.lapsing > 0.15 * s.total
    on conflict (tenant_id, manifest_id) do nothing)
  select coalesce(sum(s.total - s.stale - s.lapsing), 0)::bigint, coalesce(sum(s.lapsing), 0)::bigint from sets s
$$;
comment on function mcp.update_brakes is
  'Engage, update and release brakes. A brake engages when more than 15 % of a set of more than six instances lapse at '
  'once: the server is then probably at fault. It is released when at most 15 % are stale, or when mcp.brake_hold() '
  'passes without another mass expiry or outage: by then every instance that can come back has done so. Return how '
  'many instances are alive, and how many have lapsed without being marked.';

create function mcp.mark_lapsed(at timestamptz, max_rows integer) returns integer language plpgsql as $$
declare
  v_found  uuid[] := array( -- unordered: with ORDER BY the planner would walk the whole index of the key
    select l.registration_id from mcp.agent_leases l
      left join mcp.lease_keepers k on k.id = l.keeper_id
     where l.lapsed_at is null and not mcp.is_alive(l, k, at) limit max_rows);
  v_lapsed uuid[] := '{}';
begin
  if cardinality(v_found) > 0 then
    v_lapsed := array(
      select l.registration_id from mcp.agent_leases l
        left join mcp.lease_keepers k on k.id = l.keeper_id
       where l.registration_id = any (v_found) and l.lapsed_at is null and not mcp.is_alive(l, k, at)
       order by l.registration_id for no key update of l skip locked);
  end if;
  if cardinality(v_lapsed) > 0 then
    update mcp.agent_leases l set health_status = 'stale', lapsed_at = at where l.registration_id = any (v_lapsed);
    perform mcp.record_agent_events('stale', v_lapsed, at);
  end if;
  return cardinality(v_lapsed);
end $$;
comment on function mcp.mark_lapsed is
  'Mark leases that have lapsed as stale, at most max_rows, and return their number.';

create function mcp.end_lapsed(at timestamptz, max_rows integer) returns integer language plpgsql as $$
declare
  v_found uuid[] := array(
    select l.registration_id from mcp.agent_leases l
     where l.lapsed_at <= at - mcp.retention_inactive()
       and not exists (select from mcp.agent_brakes b where b.tenant_id = l.tenant_id and b.manifest_id = l.manifest_id)
     limit max_rows);
  v_ended uuid[] := '{}';
begin
  if cardinality(v_found) > 0 then
    v_ended := array(
      select i.id from mcp.agent_leases l
        join mcp.agent_instances i on i.id = l.registration_id
       where l.registration_id = any (v_found) and l.lapsed_at <= at - mcp.retention_inactive()
       order by i.id for no key update of i skip locked for update of l skip locked);
  end if;
  if cardinality(v_ended) > 0 then
    perform mcp.end_instances(v_ended, 'lease expired', 'inactive', at);
  end if;
  return cardinality(v_ended);
end $$;
comment on function mcp.end_lapsed is
  'End instances that have been stale for mcp.retention_inactive(), at most max_rows, unless a brake protects them. '
  'Return their number.';

create function mcp.delete_ended(at timestamptz, max_rows integer) returns integer language plpgsql as $$
declare
  v_count integer;
begin
  delete from mcp.agent_instances i where i.id = any (array(
    select e.id from mcp.agent_instances e
     where e.registration_status = 'inactive' and e.ended_at <= at - mcp.retention_deleted()
     order by e.ended_at limit max_rows for update skip locked));
  get diagnostics v_count = row_count;
  return v_count;
end $$;
comment on function mcp.delete_ended is
  'Delete instances that ended mcp.retention_deleted() ago, at most max_rows, and return their number.';

create function mcp.record_global_outage(at timestamptz) returns void language sql volatile as $$
  update mcp.lease_keepers k set outage_began = mcp.outage_start(k, at), outage_ended = at
    from mcp.lease_pace p
   where at > p.updated_at + mcp.lease_grace() and k.last_heartbeat > p.updated_at - mcp.lease_grace()
     and mcp.outage_start(k, at) is not null
$$;
comment on function mcp.record_global_outage is
  'Close the outage of every keeper that was alive before a long gap between sweeps. During such a gap the database or '
  'all server processes were away. The outage ends now, however long it lasted, so all instances have the grace from '
  'now on.';

create function mcp.sweep_agent_instances(now timestamptz default null, max_rows integer default 10000) returns table (
  stale integer, inactive integer, deleted integer, braked_sets integer, live bigint, skipped boolean
) language plpgsql as $$
#variable_conflict use_column
declare
  v_now      timestamptz := coalesce(sweep_agent_instances.now, clock_timestamp());
  v_interval double precision;
  v_lapsing  bigint;
begin
  skipped := not pg_try_advisory_xact_lock(7168880, 1);
  if skipped then
    stale := 0; inactive := 0; deleted := 0; braked_sets := 0; live := 0;
    return next;
    return;
  end if;
  perform mcp.record_global_outage(v_now);
  select b.live, b.lapsing into live, v_lapsing from mcp.update_brakes(v_now) b;
  stale := case when v_lapsing > 0 then mcp.mark_lapsed(v_now, max_rows) else 0 end; -- it reads all leases again
  inactive := mcp.end_lapsed(v_now, max_rows);
  deleted := mcp.delete_ended(v_now, max_rows);
  select count(*) into braked_sets from mcp.agent_brakes;
  -- SKIP LOCKED: a transaction that has touched a keeper may wait for leases that this one has locked.
  delete from mcp.lease_keepers k where k.id = any (array(
    select g.id from mcp.lease_keepers g
     where greatest(g.last_heartbeat + mcp.longest_outage(), g.outage_ended) + mcp.lease_grace() < v_now
        or g.stopped_at + mcp.lease_grace() < v_now
       for update skip locked));
  v_interval := least(60, live / 1000.0);
  update mcp.lease_pace p
     set interval_seconds = v_interval, ttl_seconds = 3 * v_interval, live = sweep_agent_instances.live,
         updated_at = v_now;
  return next;
end $$;
comment on function mcp.sweep_agent_instances is
  'Mark lapsed instances as stale, end those that stayed stale for mcp.retention_inactive(), and delete those that '
  'ended mcp.retention_deleted() ago, each at most max_rows. Update brakes and the pace. Call it as agenthall_system '
  'or as the owner. skipped: another session is sweeping.';

create function mcp.release_brake(tenant_id uuid, agent_id text) returns boolean language plpgsql as $$
#variable_conflict use_column
begin
  delete from mcp.agent_brakes b
   where b.tenant_id = release_brake.tenant_id and b.manifest_id = mcp.manifest_id_for(release_brake.agent_id);
  return found;
end $$;
comment on function mcp.release_brake is
  'Release the brake of a set whose instances are gone for good, as an operator knows. Return false if there was none.';
