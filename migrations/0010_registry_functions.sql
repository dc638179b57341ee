-- The registry's verbs, for psql, Go and anything else; the server calls nothing else. They work with the rights of who calls:
-- agenthall_app (row-level security), agenthall_system, or the owner.
--
-- Rules
--   1. Whoever inserts does it with ON CONFLICT, and looks afterwards: that it was not there a moment ago decides nothing.
--   2. The only retry is for a row that was deleted in between; all else is waited for, in the order of 0009, rule 4.
--   3. An answer is a row. Errors: 22023 a bad value (its field is named), 42501 another tenant's transaction, AH001 a disabled configuration.
create function mcp.expect(fulfilled boolean, field text, rule text) returns void language plpgsql as $$
begin
  if fulfilled is not true then
    raise exception '% %', field, rule using errcode = '22023', column = field;
  end if;
end $$;

create function mcp.dictated_pace(out interval_seconds double precision, out ttl_seconds double precision) language sql stable as $$
  select greatest(least(extract(epoch from mcp.heartbeat_interval())::double precision, s.ttl / 3), s.ttl / 30, p.interval_seconds),
         greatest(s.ttl, p.ttl_seconds)
    from mcp.lease_pace p, lateral (select greatest(extract(epoch from mcp.lease_ttl())::double precision, 1) as ttl) s
$$;
comment on function mcp.dictated_pace is
  'How often to beat and how long a lease lasts now, before jitter: at least a second, with room for three beats in it';

create function mcp.with_jitter(seconds double precision) returns double precision language sql volatile as
$$ select round((seconds * (0.9 + 0.2 * random()))::numeric, 3)::double precision $$;

create function mcp.is_health(health text) returns boolean language sql immutable parallel safe as
$$ select health in ('starting', 'healthy', 'degraded', 'unhealthy') $$;

create function mcp.is_load(load jsonb) returns boolean language sql stable parallel safe as $$
  select jsonb_typeof(load) = 'object' and octet_length(load::text) <= 8192 and case
    when load -> 'workload' is null then true
    when jsonb_typeof(load -> 'workload') = 'number'
      then (load ->> 'workload')::numeric between 0 and 2147483647 and (load ->> 'workload')::numeric = trunc((load ->> 'workload')::numeric)
    else false end
$$;
comment on function mcp.is_load is 'An object of at most 8 KiB as PostgreSQL writes it; its `workload`, where given, is a whole number: the work in hand';

create function mcp.is_metrics(metrics jsonb) returns boolean language sql stable parallel safe as
$$ select jsonb_typeof(metrics) = 'object' and octet_length(metrics::text) <= 8192 $$;

-- Terms ----------------------------------------------------------------------------------------------------------------------------

create function mcp.terms_of(i mcp.agent_instances) returns text[] language sql immutable as $$
  select case when i.registration_status = 'inactive' then '{}' else array(
    select distinct term from (
      select 'agent:' || i.agent_id
      union all select 'zone:' || i.zone where i.zone is not null
      union all select 'capability:' || word from unnest(i.capabilities) word
      union all select 'tag:' || word from unnest(i.tags) word) as terms (term)) end
$$;

create function mcp.keep_terms() returns trigger language plpgsql as $$
declare
  v_terms text[] := mcp.terms_of(new);
begin
  if tg_op = 'UPDATE' then
    delete from mcp.agent_terms t where t.tenant_id = new.tenant_id and t.registration_id = new.id and t.term <> all (v_terms);
  end if;
  insert into mcp.agent_terms (tenant_id, term, registration_id)
  select new.tenant_id, term, new.id from unnest(v_terms) term
  on conflict do nothing;
  return null;
end $$;
create trigger keep_terms_of_new after insert on mcp.agent_instances for each row execute function mcp.keep_terms();
create trigger keep_terms after update on mcp.agent_instances for each row
  when (new.capabilities is distinct from old.capabilities or new.tags is distinct from old.tags or new.zone is distinct from old.zone
        or (new.registration_status = 'inactive') <> (old.registration_status = 'inactive'))
  execute function mcp.keep_terms();

-- What hangs on a configuration goes with it. Locked in the order of everybody else first: the cascade has none.
create function mcp.lock_what_hangs_on() returns trigger language plpgsql as $$
begin
  perform from mcp.agent_instances i
    where i.tenant_id = old.tenant_id and i.manifest_id = old.manifest_id order by i.id for update;
  perform from mcp.agent_leases l
    where l.tenant_id = old.tenant_id and l.manifest_id = old.manifest_id order by l.registration_id for update;
  return old;
end $$;
create trigger lock_what_hangs_on before delete on mcp.agent_configurations for each row execute function mcp.lock_what_hangs_on();

-- Registering ----------------------------------------------------------------------------------------------------------------------

create function mcp.configure_on_registration(
  tenant_id uuid, agent_id text, name text, agent_type text, capabilities text[], out manifest_id uuid, out config_id uuid
) language plpgsql as $$
#variable_conflict use_column
declare
  v_tenant   uuid := configure_on_registration.tenant_id;
  v_agent_id text := configure_on_registration.agent_id;
  v_manifest uuid;
  v_enabled  boolean;
begin
  for attempt in 1 .. 10 loop -- either may be deleted just when it was found
    v_manifest := mcp.manifest_id_for(v_agent_id);
    select c.id, c.enabled into config_id, v_enabled from mcp.agent_configurations c
     where c.tenant_id = v_tenant and c.manifest_id = v_manifest for key share;
    exit when found;
    -- neither RETURNING nor a conflict target: both would need a manifest that is visible, and nobody has configured it yet
    insert into mcp.agent_manifests (id, agent_id) values (gen_random_uuid(), v_agent_id) on conflict do nothing;
    v_manifest := mcp.manifest_id_for(v_agent_id);
    continue when v_manifest is null;
    insert into mcp.agent_configurations (tenant_id, manifest_id, name, agent_type, capabilities)
    values (v_tenant, v_manifest, name, agent_type, coalesce(capabilities, '{}')) on conflict do nothing;
  end loop;
  if config_id is null then
    raise exception 'the configuration of agent % is being deleted again and again; try again', v_agent_id using errcode = '40001';
  elsif not v_enabled then
    raise exception 'agent % is disabled for tenant %', v_agent_id, v_tenant using errcode = 'AH001';
  end if;
  manifest_id := v_manifest;
end $$;
comment on function mcp.configure_on_registration is
  'The manifest and the configuration that a registration belongs to, made where they are not there. AH001: the configuration is disabled.';

create function mcp.register_agent_instance(
  tenant_id uuid, agent_id text, instance_id text, name text, connection_details jsonb, runtime_config jsonb,
  capabilities text[] default null, version text default null, agent_type text default null, zone text default null,
  tags text[] default null, idempotency_key text default null, registered_by text default null, keeper_id uuid default null,
  health text default 'healthy', now timestamptz default null
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
  perform mcp.expect(mcp.is_agent_id(agent_id), 'agent_id', 'must be a meaningful name of 1 to 128 printable characters, in Unicode''s form NFC, not a UUID');
  perform mcp.expect(char_length(instance_id) between 1 and 255 and mcp.is_visible(instance_id), 'instance_id', 'must have 1 to 255 printable characters');
  perform mcp.expect(char_length(v_name) between 1 and 255, 'name', 'must have 1 to 255 characters');
  perform mcp.expect(mcp.is_object(v_connection), 'connection_details', 'must be a JSON object of at most 64 KiB');
  perform mcp.expect(mcp.is_object(v_runtime), 'runtime_config', 'must be a JSON object of at most 64 KiB');
  perform mcp.expect(v_capabilities is null or mcp.are_words(v_capabilities), 'capabilities', 'must be at most 64 words of 1 to 128 characters');
  perform mcp.expect(v_tags is null or mcp.are_words(v_tags), 'tags', 'must be at most 64 words of 1 to 128 characters');
  perform mcp.expect(coalesce(char_length(version), 1) between 1 and 128, 'version', 'must have 1 to 128 characters');
  perform mcp.expect(coalesce(char_length(agent_type), 1) between 1 and 128, 'agent_type', 'must have 1 to 128 characters');
  perform mcp.expect(coalesce(char_length(zone), 1) between 1 and 128, 'zone', 'must have 1 to 128 characters');
  perform mcp.expect(coalesce(char_length(v_key), 1) between 1 and 255, 'idempotency_key', 'must have 1 to 255 characters');
  perform mcp.expect(coalesce(char_length(registered_by), 1) between 0 and 255, 'registered_by', 'must have at most 255 characters');
  perform mcp.expect(mcp.is_health(health), 'health', 'must be starting, healthy, degraded or unhealthy');

  select c.manifest_id, c.config_id into manifest_id, config_id
    from mcp.configure_on_registration(tenant_id, agent_id, v_name, agent_type, v_capabilities) c;

  insert into mcp.agent_instances as i (
    tenant_id, manifest_id, agent_id, instance_id, name, agent_type, version, capabilities, tags, zone, connection_details,
    runtime_config, idempotency_key, registered_by, registered_at, connected_at, updated_at)
  values (
    tenant_id, manifest_id, agent_id, instance_id, v_name, agent_type, version, coalesce(v_capabilities, '{}'), coalesce(v_tags, '{}'),
    zone, v_connection, v_runtime, v_key, registered_by, v_now, v_now, v_now)
  on conflict (tenant_id, manifest_id, instance_id) do update
    set epoch = i.epoch + 1, name = excluded.name, agent_type = coalesce(excluded.agent_type, i.agent_type),
        version = coalesce(excluded.version, i.version), capabilities = coalesce(v_capabilities, i.capabilities),
        tags = coalesce(v_tags, i.tags), zone = coalesce(excluded.zone, i.zone), connection_details = excluded.connection_details,
        runtime_config = excluded.runtime_config, registration_status = 'active', status_reason = null,
        idempotency_key = excluded.idempotency_key, registered_by = excluded.registered_by, connected_at = v_now, updated_at = v_now,
        ended_at = null, last_seen_at = null
    where i.idempotency_key is null or i.idempotency_key is distinct from excluded.idempotency_key
  returning i.id, i.epoch into registration_id, epoch;
  if not found then -- the answer to the same call was lost; the row is locked all the same
    v_repeated := true;
    select i.id, i.epoch into registration_id, epoch from mcp.agent_instances i
     where i.tenant_id = register_agent_instance.tenant_id and i.manifest_id = register_agent_instance.manifest_id
       and i.instance_id = register_agent_instance.instance_id;
    select l.lapsed_at is not null into v_lapsed from mcp.agent_leases l
     where l.registration_id = register_agent_instance.registration_id for no key update;
  end if;

  select p.interval_seconds, p.ttl_seconds into v_interval, lease_ttl_seconds from mcp.dictated_pace() p;
  insert into mcp.agent_leases as l (
    registration_id, tenant_id, manifest_id, epoch, lease_expires_at, last_health_check, keeper_id, lease_ttl, health_status)
  values (registration_id, tenant_id, manifest_id, epoch, v_now + make_interval(secs => lease_ttl_seconds), v_now, keeper_id,
          make_interval(secs => lease_ttl_seconds), health)
  on conflict (registration_id) do update
    set lease_expires_at = excluded.lease_expires_at, last_health_check = excluded.last_health_check, keeper_id = excluded.keeper_id,
        lease_ttl = excluded.lease_ttl, lapsed_at = null, epoch = excluded.epoch,
        health_status = case when l.epoch = excluded.epoch and l.lapsed_at is null then l.health_status else excluded.health_status end,
        workload = case when l.epoch = excluded.epoch then l.workload else 0 end,
        load = case when l.epoch = excluded.epoch then l.load else '{}' end,
        metrics = case when l.epoch = excluded.epoch then l.metrics else '{}' end;

  if not v_repeated or v_lapsed then
    perform mcp.record_agent_events(
      case when v_lapsed then 'revived' when epoch = 1 then 'registered' else 'reconnected' end, array[registration_id], v_now);
  end if;
  is_new := epoch = 1; -- a repeated first call as well: it is the first answer that arrives
  message := case when epoch = 1 then 'Agent instance registered' else 'Agent instance reconnected' end;
  heartbeat_interval_seconds := mcp.with_jitter(v_interval);
  return next;
end $$;
comment on function mcp.register_agent_instance is
  'Makes manifest and configuration where absent, makes or renews the registration, and starts a lease. One row. What is null of capabilities, version, agent_type, zone and tags stays as a former registration said. The same idempotency_key again: same epoch, same answer, lease refreshed.';

-- Heartbeats -----------------------------------------------------------------------------------------------------------------------

create function mcp.heartbeat_agent_instance(
  tenant_id uuid, registration_id uuid, epoch bigint, health text default null, load jsonb default null, metrics jsonb default null,
  keeper_id uuid default null, now timestamptz default null
) returns table (outcome text, heartbeat_interval_seconds double precision, lease_ttl_seconds double precision) language plpgsql as $$
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
  perform mcp.expect(v_epoch is not null, 'epoch', 'must be given');
  perform mcp.expect(health is null or mcp.is_health(health), 'health', 'must be starting, healthy, degraded or unhealthy');
  perform mcp.expect(v_load is null or mcp.is_load(v_load), 'load', 'must be a JSON object of at most 8 KiB, its workload a whole number');
  perform mcp.expect(v_metrics is null or mcp.is_metrics(v_metrics), 'metrics', 'must be a JSON object of at most 8 KiB');
  select p.interval_seconds, p.ttl_seconds into heartbeat_interval_seconds, lease_ttl_seconds from mcp.dictated_pace() p;
  heartbeat_interval_seconds := mcp.with_jitter(heartbeat_interval_seconds);

  select l.* into v_lease from mcp.agent_leases l where l.registration_id = v_id and l.tenant_id = v_tenant for no key update;
  if v_lease.epoch = v_epoch then
    v_health := coalesce(health, case v_lease.health_status when 'stale' then 'healthy' else v_lease.health_status end);
    update mcp.agent_leases l
       set lease_expires_at = v_now + make_interval(secs => lease_ttl_seconds), last_health_check = v_now, lapsed_at = null,
           keeper_id = v_keeper, lease_ttl = make_interval(secs => lease_ttl_seconds), health_status = v_health,
           workload = coalesce((v_load ->> 'workload')::numeric::integer, l.workload),
           load = coalesce(v_load, l.load), metrics = coalesce(v_metrics, l.metrics)
     where l.registration_id = v_id;
    if v_lease.health_status <> v_health then
      perform mcp.record_agent_events(case when v_lease.lapsed_at is null then 'health' else 'revived' end, array[v_id], v_now);
    end if;
    outcome := 'ok';
  else
    outcome := mcp.refusal_of_heartbeat(v_tenant, v_id, v_epoch);
  end if;
  return next;
end $$;
comment on function mcp.heartbeat_agent_instance is
  'ok: the lease is extended, also that of a stale instance. superseded: a later registration has it. must_register: inactive, unknown, or an epoch that has never been. Null health, load, metrics stay as they were.';

create function mcp.refusal_of_heartbeat(tenant_id uuid, registration_id uuid, epoch bigint) returns text language sql stable as $$
  select coalesce((
    select 'superseded' from mcp.agent_instances i
     where i.id = refusal_of_heartbeat.registration_id and i.epoch > refusal_of_heartbeat.epoch
       and (refusal_of_heartbeat.tenant_id is null or i.tenant_id = refusal_of_heartbeat.tenant_id)), 'must_register')
$$;

create function mcp.noted_outage(keeper mcp.lease_keepers, at timestamptz) returns timestamptz language sql stable as $$
  select case
    when keeper.last_beat < keeper.outage_ended + mcp.lease_grace()
     and keeper.last_beat < keeper.outage_began + mcp.longest_outage() + mcp.lease_grace() then keeper.outage_began
    else keeper.last_beat end
   where keeper.stopped_at is null and at > keeper.last_beat + interval '3 seconds'
$$;
comment on function mcp.noted_outage is
  'When the outage began that ends now; null: there was none. One that began within the grace of another goes on with it, as long as one outage may last and its grace: a keeper that flaps for ever protects nobody for ever';

create function mcp.hear_lease_keeper(id uuid, at timestamptz) returns void language sql volatile as $$
  update mcp.lease_keepers k set last_beat = at, outage_began = mcp.noted_outage(k, at), outage_ended = at
   where k.id = hear_lease_keeper.id and mcp.noted_outage(k, at) is not null
$$;
comment on function mcp.hear_lease_keeper is
  'Heartbeats come through a keeper that was silent: it is back with them, not with the next one of its own, which may be lost again';

create function mcp.heartbeat_agent_instances(
  registration_ids uuid[], epochs bigint[], healths text[] default null, loads jsonb[] default null, metrics jsonb[] default null,
  keeper_id uuid default null, now timestamptz default null
) returns table (registration_id uuid, epoch bigint, outcome text) language plpgsql as $$
#variable_conflict use_column
declare
  v_now     timestamptz := coalesce(heartbeat_agent_instances.now, clock_timestamp());
  v_keeper  uuid := heartbeat_agent_instances.keeper_id;
  v_metrics jsonb[] := heartbeat_agent_instances.metrics;
  v_ttl     interval := (select make_interval(secs => p.ttl_seconds) from mcp.dictated_pace() p);
  v_beaten  uuid[];
  v_changed uuid[];
  v_revived uuid[];
begin
  perform mcp.expect(cardinality(registration_ids) = cardinality(epochs), 'epochs', 'must be as many as registration_ids');
  perform set_config('synchronous_commit', 'off', true); -- what a crash of the database loses, the next heartbeats say again
  if v_keeper is not null then
    perform mcp.hear_lease_keeper(v_keeper, v_now);
  end if;
  perform from mcp.agent_leases l where l.registration_id = any (registration_ids) order by l.registration_id for no key update;
  with beats as (
    select b.registration_id, b.epoch, b.health, nullif(b.load, 'null') as load, nullif(b.metrics, 'null') as metrics, b.ordinal
      from unnest(registration_ids, epochs, healths, loads, v_metrics) with ordinality
        as b (registration_id, epoch, health, load, metrics, ordinal)),
  newest as materialized ( -- once, also in a plan of when there were few leases
    select distinct on (b.registration_id) b.registration_id, b.epoch, b.load, b.metrics, l.health_status as former, l.lapsed_at is not null as lapsed,
           coalesce(b.health, case l.health_status when 'stale' then 'healthy' else l.health_status end) as health
      from beats b
      join mcp.agent_leases l on l.registration_id = b.registration_id and l.epoch = b.epoch
     where (b.health is null or mcp.is_health(b.health)) and (b.load is null or mcp.is_load(b.load))
       and (b.metrics is null or mcp.is_metrics(b.metrics))
     order by b.registration_id, b.ordinal desc),
  beaten as (
    update mcp.agent_leases l
       set lease_expires_at = v_now + v_ttl, last_health_check = v_now, lapsed_at = null, keeper_id = v_keeper, lease_ttl = v_ttl,
           health_status = n.health, workload = coalesce((n.load ->> 'workload')::numeric::integer, l.workload),
           load = coalesce(n.load, l.load), metrics = coalesce(n.metrics, l.metrics)
      from newest n
     where l.registration_id = n.registration_id
    returning l.registration_id, n.former <> n.health and not n.lapsed as changed, n.lapsed)
  select array_agg(b.registration_id), array_agg(b.registration_id) filter (where b.changed),
         array_agg(b.registration_id) filter (where b.lapsed)
    into v_beaten, v_changed, v_revived from beaten b;
  if v_changed is not null then
    perform mcp.record_agent_events('health', v_changed, v_now);
  end if;
  if v_revived is not null then
    perform mcp.record_agent_events('revived', v_revived, v_now);
  end if;
  if cardinality(v_beaten) = cardinality(registration_ids) then
    return query select b.registration_id, b.epoch, 'ok' from unnest(registration_ids, epochs) as b (registration_id, epoch);
    return;
  end if;
  return query
    select b.registration_id, b.epoch, case
        when l.registration_id is null
          then mcp.refusal_of_heartbeat(null, b.registration_id, b.epoch)
        when not ((b.health is null or mcp.is_health(b.health)) and (nullif(b.load, 'null') is null or mcp.is_load(b.load))
                  and (nullif(b.metrics, 'null') is null or mcp.is_metrics(b.metrics)))
          then 'invalid'
        else 'ok' end
      from unnest(registration_ids, epochs, healths, loads, v_metrics) with ordinality
        as b (registration_id, epoch, health, load, metrics, ordinal)
      left join mcp.agent_leases l on l.registration_id = b.registration_id and l.epoch = b.epoch
     order by b.ordinal;
end $$;
comment on function mcp.heartbeat_agent_instances is
  'Heartbeats of many instances, of any tenants that the caller sees, in one UPDATE; of several of one registration the last counts. One row for each, in their order: ok, superseded, must_register, or invalid (a health, load or metrics that mcp.heartbeat_agent_instance would refuse; nothing was written for it). Commits without waiting for the disk.';

-- The end of a life ----------------------------------------------------------------------------------------------------------------

create function mcp.held_instance(tenant_id uuid, registration_id uuid, epoch bigint, out outcome text, out status text) language plpgsql as $$
#variable_conflict use_column
declare
  v_epoch bigint;
begin
  perform mcp.act_for(tenant_id);
  select i.epoch, i.registration_status into v_epoch, status from mcp.agent_instances i
   where i.id = held_instance.registration_id and i.tenant_id = held_instance.tenant_id for no key update;
  outcome := case
    when v_epoch is null or held_instance.epoch > v_epoch then 'unknown'
    when held_instance.epoch < v_epoch then 'superseded'
    else 'ok' end;
end $$;
comment on function mcp.held_instance is 'Locks the instance and says whether `epoch` is its present life; a null epoch (an operator) is any. One that has never been is unknown.';

create function mcp.end_instances(registration_ids uuid[], reason text, kind text, at timestamptz) returns void language plpgsql as $$
begin
  -- EXECUTE plans for the very ids: one plan for one and for ten thousand of them reads the whole tenant for the one
  execute $update$
    update mcp.agent_instances i
       set registration_status = 'inactive', status_reason = $2, ended_at = $3, updated_at = $3, idempotency_key = null,
           last_seen_at = l.last_health_check
      from mcp.agent_leases l
     where l.registration_id = i.id and i.id = any ($1)$update$ using registration_ids, reason, at;
  execute 'delete from mcp.agent_leases l where l.registration_id = any ($1)' using registration_ids;
  perform mcp.record_agent_events(kind, registration_ids, at);
end $$;
comment on function mcp.end_instances is 'The one place where a life ends. The caller holds the instances, and takes their leases in order.';

create function mcp.deregister_agent_instance(
  tenant_id uuid, registration_id uuid, epoch bigint, reason text default null, now timestamptz default null
) returns table (outcome text) language plpgsql as $$
#variable_conflict use_column
declare
  v_status text;
begin
  perform mcp.expect(coalesce(char_length(reason), 0) <= 1024, 'reason', 'must have at most 1024 characters');
  select h.outcome, h.status into outcome, v_status from mcp.held_instance(tenant_id, registration_id, epoch) h;
  if outcome = 'ok' and v_status <> 'inactive' then
    perform mcp.end_instances(array[registration_id], reason, 'deregistered', coalesce(deregister_agent_instance.now, clock_timestamp()));
  end if;
  return next;
end $$;
comment on function mcp.deregister_agent_instance is
  'A clean end; the row stays as history. ok (also the second time), superseded, or unknown.';

create function mcp.drain_agent_instance(
  tenant_id uuid, registration_id uuid, epoch bigint, reason text default null, now timestamptz default null
) returns table (outcome text) language plpgsql as $$
#variable_conflict use_column
declare
  v_now    timestamptz := coalesce(drain_agent_instance.now, clock_timestamp());
  v_status text;
begin
  perform mcp.expect(coalesce(char_length(reason), 0) <= 1024, 'reason', 'must have at most 1024 characters');
  select h.outcome, h.status into outcome, v_status from mcp.held_instance(tenant_id, registration_id, epoch) h;
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
  'It finishes what it has and gets nothing new, until it registers again. ok (also the second time), superseded, or unknown (also: inactive).';

create function mcp.disconnect_agent_instance(
  tenant_id uuid, registration_id uuid, epoch bigint, grace_seconds double precision, now timestamptz default null
) returns table (outcome text) language plpgsql as $$
#variable_conflict use_column
declare
  v_now    timestamptz := coalesce(disconnect_agent_instance.now, clock_timestamp());
  v_id     uuid := disconnect_agent_instance.registration_id;
  v_status text;
begin
  perform mcp.expect(grace_seconds between 0 and 3600, 'grace_seconds', 'must be between 0 and 3600');
  select h.outcome, h.status into outcome, v_status from mcp.held_instance(tenant_id, v_id, epoch) h;
  if outcome = 'ok' and v_status = 'inactive' then
    outcome := 'unknown';
  elsif outcome = 'ok' then
    -- no keeper: an outage of ours does not bring back one that had gone before
    update mcp.agent_leases l
       set lease_expires_at = least(l.lease_expires_at, v_now + make_interval(secs => grace_seconds)), keeper_id = null
     where l.registration_id = v_id;
    perform mcp.record_agent_events('disconnected', array[v_id], v_now);
  end if;
  return next;
end $$;
comment on function mcp.disconnect_agent_instance is
  'Its connection dropped: the lease ends within the grace, unless it registers or beats again. ok, superseded, or unknown (also: inactive).';

create function mcp.update_agent_instance(
  tenant_id uuid, registration_id uuid, epoch bigint, name text default null, capabilities text[] default null, version text default null,
  zone text default null, tags text[] default null, connection_details jsonb default null, runtime_config jsonb default null,
  now timestamptz default null
) returns table (outcome text) language plpgsql as $$
#variable_conflict use_column
declare
  v_now      timestamptz := coalesce(update_agent_instance.now, clock_timestamp());
  v_id       uuid := update_agent_instance.registration_id;
  v_new      mcp.agent_instances;
  v_status   text;
begin
  v_new.name := name; v_new.capabilities := capabilities; v_new.version := version; v_new.zone := zone; v_new.tags := tags;
  v_new.connection_details := nullif(connection_details, 'null'); v_new.runtime_config := nullif(runtime_config, 'null');
  perform mcp.expect(coalesce(char_length(v_new.name), 1) between 1 and 255, 'name', 'must have 1 to 255 characters');
  perform mcp.expect(v_new.capabilities is null or mcp.are_words(v_new.capabilities), 'capabilities', 'must be at most 64 words of 1 to 128 characters');
  perform mcp.expect(coalesce(char_length(v_new.version), 1) between 1 and 128, 'version', 'must have 1 to 128 characters');
  perform mcp.expect(coalesce(char_length(v_new.zone), 1) between 1 and 128, 'zone', 'must have 1 to 128 characters');
  perform mcp.expect(v_new.tags is null or mcp.are_words(v_new.tags), 'tags', 'must be at most 64 words of 1 to 128 characters');
  perform mcp.expect(v_new.connection_details is null or mcp.is_object(v_new.connection_details), 'connection_details', 'must be a JSON object of at most 64 KiB');
  perform mcp.expect(v_new.runtime_config is null or mcp.is_object(v_new.runtime_config), 'runtime_config', 'must be a JSON object of at most 64 KiB');
  select h.outcome, h.status into outcome, v_status from mcp.held_instance(tenant_id, v_id, epoch) h;
  if outcome = 'ok' and v_status = 'inactive' then
    outcome := 'unknown';
  elsif outcome = 'ok' then
    update mcp.agent_instances i
       set name = coalesce(v_new.name, i.name), capabilities = coalesce(v_new.capabilities, i.capabilities),
           version = coalesce(v_new.version, i.version), zone = coalesce(v_new.zone, i.zone), tags = coalesce(v_new.tags, i.tags),
           connection_details = coalesce(v_new.connection_details, i.connection_details),
           runtime_config = coalesce(v_new.runtime_config, i.runtime_config), updated_at = v_now
     where i.id = v_id;
    perform mcp.record_agent_events('updated', array[v_id], v_now);
  end if;
  return next;
end $$;
comment on function mcp.update_agent_instance is
  'What an instance says of itself, without a new epoch; null leaves as it is. ok, superseded, or unknown (also: inactive).';

-- Keepers of leases ----------------------------------------------------------------------------------------------------------------

create function mcp.beat_lease_keeper(id uuid, kind text, now timestamptz default null) returns mcp.lease_keepers language plpgsql as $$
#variable_conflict use_column
declare
  v_now  timestamptz := coalesce(beat_lease_keeper.now, clock_timestamp());
  v_kept mcp.lease_keepers;
begin
  perform set_config('synchronous_commit', 'off', true);
  insert into mcp.lease_keepers as k (id, kind, started_at, last_beat) values (id, kind, v_now, v_now)
  on conflict (id) do update
    set last_beat = v_now, stopped_at = null,
        outage_began = coalesce(mcp.noted_outage(k, v_now), k.outage_began),
        outage_ended = case when mcp.noted_outage(k, v_now) is null then k.outage_ended else v_now end
  returning k.* into v_kept;
  return v_kept;
end $$;
comment on function mcp.beat_lease_keeper is 'Once a second by every process that takes heartbeats. Three seconds without are an outage, that is noted when it has ended.';

create function mcp.stop_lease_keeper(id uuid, now timestamptz default null) returns boolean language plpgsql as $$
#variable_conflict use_column
begin
  update mcp.lease_keepers k set stopped_at = coalesce(stop_lease_keeper.now, clock_timestamp()) where k.id = stop_lease_keeper.id;
  return found;
end $$;
comment on function mcp.stop_lease_keeper is 'It stops for good, and says so: its silence is no outage. False: it never beat.';

-- Sweeping -------------------------------------------------------------------------------------------------------------------------

create function mcp.renew_brakes(at timestamptz, out live bigint, out lapsing bigint) language sql volatile as $$
  with sets as materialized (
    select l.tenant_id, l.manifest_id, count(*) as total, count(*) filter (where l.lapsed_at is not null) as stale,
           count(*) filter (where l.lapsed_at is null and not mcp.is_alive(l, k, at)) as lapsing
      from mcp.agent_leases l
      left join mcp.lease_keepers k on k.id = l.keeper_id
     group by l.tenant_id, l.manifest_id),
  held as materialized (
    select s.tenant_id, s.manifest_id, s.stale + s.lapsing as stale, s.total, s.lapsing > 0.15 * s.total as is_renewed
      from mcp.agent_brakes b
      join sets s on s.tenant_id = b.tenant_id and s.manifest_id = b.manifest_id
     where s.stale + s.lapsing > 0.15 * s.total
       and (s.lapsing > 0.15 * s.total or b.since > at - mcp.brake_hold()
            or exists (select from mcp.lease_keepers k where k.outage_ended > at - mcp.brake_hold()))),
  cleared as (
    delete from mcp.agent_brakes b where not exists (
      select from held h where h.tenant_id = b.tenant_id and h.manifest_id = b.manifest_id)),
  counted as (
    update mcp.agent_brakes b set stale = h.stale, total = h.total, since = case when h.is_renewed then at else b.since end from held h
     where h.tenant_id = b.tenant_id and h.manifest_id = b.manifest_id
       and (h.is_renewed or (b.stale, b.total) is distinct from (h.stale, h.total))),
  braked as (
    insert into mcp.agent_brakes (tenant_id, manifest_id, since, stale, total)
    select s.tenant_id, s.manifest_id, at, s.stale + s.lapsing, s.total from sets s
     where s.total > 6 and s.lapsing > 0.15 * s.total
    on conflict (tenant_id, manifest_id) do nothing)
  select coalesce(sum(s.total - s.stale - s.lapsing), 0)::bigint, coalesce(sum(s.lapsing), 0)::bigint from sets s
$$;
comment on function mcp.renew_brakes is
  'More than 15 % of a set of more than six lapse at once: the fault is probably ours. Released when at most 15 % are stale, or after mcp.brake_hold() in which no more lapsed at once and no outage ended: who could come back has, and the others are gone. Returns how many live, and how many have lapsed that nobody has marked.';

create function mcp.mark_lapsed(at timestamptz, max_rows integer) returns integer language plpgsql as $$
declare
  v_found  uuid[] := array( -- in no order: in that of the key the planner would walk the key
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

create function mcp.end_lapsed(at timestamptz, max_rows integer) returns integer language plpgsql as $$
declare
  v_found uuid[] := array(
    select l.registration_id from mcp.agent_leases l
     where l.lapsed_at <= at - mcp.retention_inactive()
       and not exists (select from mcp.agent_brakes b where b.tenant_id = l.tenant_id and b.manifest_id = l.manifest_id)
     limit max_rows);
  v_over  uuid[] := '{}';
begin
  if cardinality(v_found) > 0 then
    v_over := array(
      select i.id from mcp.agent_leases l
        join mcp.agent_instances i on i.id = l.registration_id
       where l.registration_id = any (v_found) and l.lapsed_at <= at - mcp.retention_inactive()
       order by i.id for no key update of i skip locked for update of l skip locked);
  end if;
  if cardinality(v_over) > 0 then
    perform mcp.end_instances(v_over, 'lease expired', 'inactive', at);
  end if;
  return cardinality(v_over);
end $$;

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

create function mcp.note_silence_of_all(at timestamptz) returns void language sql volatile as $$
  update mcp.lease_keepers k set outage_began = mcp.noted_outage(k, at), outage_ended = at
    from mcp.lease_pace p
   where at > p.updated_at + mcp.lease_grace() and k.last_beat > p.updated_at - mcp.lease_grace()
     and mcp.noted_outage(k, at) is not null
$$;
comment on function mcp.note_silence_of_all is
  'The first sweep for long: the database was away, or all of us were, and keepers that lived at the last sweep have not come back yet. Their outage ends now, however long it was.';

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
  perform mcp.note_silence_of_all(v_now);
  select b.live, b.lapsing into live, v_lapsing from mcp.renew_brakes(v_now) b;
  stale := case when v_lapsing > 0 then mcp.mark_lapsed(v_now, max_rows) else 0 end; -- it goes through all leases once more
  inactive := mcp.end_lapsed(v_now, max_rows);
  deleted := mcp.delete_ended(v_now, max_rows);
  select count(*) into braked_sets from mcp.agent_brakes;
  delete from mcp.lease_keepers k where k.id = any (array( -- whoever beats through one holds it, and may wait for leases that are held here
    select g.id from mcp.lease_keepers g
     where greatest(g.last_beat + mcp.longest_outage(), g.outage_ended) + mcp.lease_grace() < v_now
        or g.stopped_at + mcp.lease_grace() < v_now
       for update skip locked));
  v_interval := least(60, live / 1000.0);
  update mcp.lease_pace p set interval_seconds = v_interval, ttl_seconds = 3 * v_interval, live = sweep_agent_instances.live, updated_at = v_now;
  return next;
end $$;
comment on function mcp.sweep_agent_instances is
  'Writes down what has lapsed (stale), ends what stayed so for mcp.retention_inactive(), deletes what ended mcp.retention_deleted() ago, each at most max_rows; renews brakes and pace. As agenthall_system or the owner. skipped: another one sweeps.';

create function mcp.release_brake(tenant_id uuid, agent_id text) returns boolean language plpgsql as $$
#variable_conflict use_column
begin
  delete from mcp.agent_brakes b
   where b.tenant_id = release_brake.tenant_id and b.manifest_id = mcp.manifest_id_for(release_brake.agent_id);
  return found;
end $$;
comment on function mcp.release_brake is 'An operator knows that they are really gone. False: nothing was braked.';
