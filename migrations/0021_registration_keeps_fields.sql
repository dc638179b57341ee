-- Let a registration keep all fields that it does not give, refuse an idempotency key that comes again with other
-- values, and require instance ids that do not look alike.
--
-- Rules
--   1. The digest covers what describes the instance. It leaves out who registers, the keeper, and connection_defaults,
--      which differ when the same call is repeated over another connection.
--   2. Leading and trailing spaces are all of Unicode's. PostgreSQL's btrim removes only U+0020.
create function mcp.is_trimmed(name text) returns boolean language plpgsql immutable parallel safe as $$
begin
  return name !~ '^[ \u1680\u2000-\u200a\u3000]|[ \u1680\u2000-\u200a\u3000]$';
end $$;
comment on function mcp.is_trimmed is 'Return whether a name has no spaces around it.';

create or replace function mcp.is_agent_id(agent_id text) returns boolean
language plpgsql immutable parallel safe as $$
begin
  return char_length(agent_id) between 1 and 128
     and mcp.is_printable(agent_id) and mcp.is_trimmed(agent_id) and agent_id is nfc normalized
     and agent_id ~ '[A-Za-z]|[^\u0001-\u007f]'
     and agent_id !~* '^(urn:uuid:)?\{?[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}\}?$';
end $$;

create function mcp.is_instance_id(instance_id text) returns boolean language plpgsql immutable parallel safe as $$
begin
  return char_length(instance_id) between 1 and 255
     and mcp.is_printable(instance_id) and mcp.is_trimmed(instance_id) and instance_id is nfc normalized;
end $$;
comment on function mcp.is_instance_id is
  'Return whether the text has 1 to 255 printable characters in Unicode form NFC, without spaces around it.';

-- Instances with other ids could not register again, so they would never come back.
set local role agenthall_system;
delete from mcp.agent_instances i where not mcp.is_instance_id(i.instance_id);
reset role;
alter table mcp.agent_instances
  add column idempotency_digest bytea,
  drop constraint agent_instances_instance_id,
  add constraint agent_instances_instance_id check (mcp.is_instance_id(instance_id));
comment on column mcp.agent_instances.idempotency_digest is
  'SHA-256 of the values of the registration with idempotency_key; null: it has no key, or is older than this column';

create or replace function mcp.record_deleted_instances() returns trigger language plpgsql as $$
begin
  insert into mcp.agent_event_inbox (tenant_id, registration_id, agent_id, kind, instance, at)
  select d.tenant_id, d.id, d.agent_id, 'deleted', mcp.public_instance(
           to_jsonb(d) - array['idempotency_key', 'idempotency_digest', 'ended_at', 'last_seen_at']
           || jsonb_build_object(
             'registration_status', 'inactive', 'health_status', 'stale', 'workload', 0, 'load', '{}'::jsonb,
             'metrics', '{}'::jsonb)
           || mcp.iso_timestamps(d.last_seen_at, null, d.registered_at, d.connected_at, d.updated_at)),
         clock_timestamp()
    from deleted_rows d
   order by d.id;
  return null;
end $$;

-- Dropped, because an argument is new and an overload would make calls ambiguous.
drop function mcp.register_agent_instance;
create function mcp.register_agent_instance(
  tenant_id uuid, agent_id text, instance_id text, name text default null, connection_details jsonb default null,
  runtime_config jsonb default null, capabilities text[] default null, version text default null,
  agent_type text default null, zone text default null, tags text[] default null, idempotency_key text default null,
  registered_by text default null, keeper_id uuid default null, health text default 'healthy',
  now timestamptz default null, connection_defaults jsonb default null
) returns table (
  registration_id uuid, manifest_id uuid, config_id uuid, is_new boolean, message text, epoch bigint,
  lease_ttl_seconds double precision, heartbeat_interval_seconds double precision
) language plpgsql as $$
#variable_conflict use_column
declare
  v_now          timestamptz := coalesce(register_agent_instance.now, clock_timestamp());
  v_name         text := coalesce(register_agent_instance.name, register_agent_instance.agent_id);
  v_connection   jsonb := nullif(register_agent_instance.connection_details, 'null');
  v_runtime      jsonb := nullif(register_agent_instance.runtime_config, 'null');
  v_defaults     jsonb := coalesce(nullif(register_agent_instance.connection_defaults, 'null'), '{}');
  v_capabilities text[] := register_agent_instance.capabilities;
  v_tags         text[] := register_agent_instance.tags;
  v_key          text := register_agent_instance.idempotency_key;
  v_digest       bytea;
  v_stored       bytea;
  v_repeated     boolean := false;
  v_joined       boolean;
  v_lapsed       boolean := false;
  v_interval     double precision;
begin
  perform mcp.act_for(tenant_id);
  perform mcp.check_argument(
    mcp.is_agent_id(agent_id), 'agent_id',
    'must be a meaningful name of 1 to 128 printable characters, in Unicode''s form NFC, not a UUID');
  perform mcp.check_argument(
    mcp.is_instance_id(instance_id), 'instance_id',
    'must have 1 to 255 printable characters, in Unicode''s form NFC, without spaces around them');
  perform mcp.check_argument(char_length(v_name) between 1 and 255, 'name', 'must have 1 to 255 characters');
  perform mcp.check_argument(
    v_connection is null or mcp.is_object(v_connection), 'connection_details',
    'must be a JSON object of at most 64 KiB');
  perform mcp.check_argument(
    v_runtime is null or mcp.is_object(v_runtime), 'runtime_config', 'must be a JSON object of at most 64 KiB');
  perform mcp.check_argument(
    mcp.is_object(v_defaults), 'connection_defaults', 'must be a JSON object of at most 64 KiB');
  perform mcp.check_argument(
    mcp.is_object(v_defaults || coalesce(v_connection, '{}')), 'connection_details',
    'must be a JSON object of at most 64 KiB, together with connection_defaults');
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

  if v_key is not null then
    v_digest := sha256(convert_to(jsonb_build_array(
      register_agent_instance.name, v_connection, v_runtime, v_capabilities, version, agent_type, zone, v_tags,
      health)::text, 'UTF8'));
  end if;

  select c.manifest_id, c.config_id into manifest_id, config_id
    from mcp.ensure_configuration(tenant_id, agent_id, v_name, agent_type, v_capabilities) c;

  insert into mcp.agent_instances as i (
    tenant_id, manifest_id, agent_id, instance_id, name, agent_type, version,
    capabilities, tags, zone, connection_details, runtime_config,
    idempotency_key, idempotency_digest, registered_by, registered_at, connected_at, updated_at)
  values (
    tenant_id, manifest_id, agent_id, instance_id, v_name, agent_type, version,
    coalesce(v_capabilities, '{}'), coalesce(v_tags, '{}'), zone,
    v_defaults || coalesce(v_connection, '{}'), coalesce(v_runtime, '{}'),
    v_key, v_digest, registered_by, v_now, v_now, v_now)
  on conflict (tenant_id, manifest_id, instance_id) do update
    set epoch = i.epoch + 1, name = coalesce(register_agent_instance.name, i.name),
        agent_type = coalesce(excluded.agent_type, i.agent_type),
        version = coalesce(excluded.version, i.version), capabilities = coalesce(v_capabilities, i.capabilities),
        tags = coalesce(v_tags, i.tags), zone = coalesce(excluded.zone, i.zone),
        connection_details = case when v_connection is null then i.connection_details || v_defaults
                                  else v_defaults || v_connection end,
        runtime_config = coalesce(v_runtime, i.runtime_config),
        registration_status = 'active', status_reason = null,
        idempotency_key = excluded.idempotency_key, idempotency_digest = excluded.idempotency_digest,
        registered_by = excluded.registered_by, connected_at = v_now, updated_at = v_now, ended_at = null,
        last_seen_at = null
    where i.idempotency_key is null or i.idempotency_key is distinct from excluded.idempotency_key
  returning i.id, i.epoch into registration_id, epoch;
  if not found then -- a repeated call, whose first answer was lost; ON CONFLICT has locked the row nevertheless
    v_repeated := true;
    select i.id, i.epoch, i.idempotency_digest into registration_id, epoch, v_stored from mcp.agent_instances i
     where i.tenant_id = register_agent_instance.tenant_id and i.manifest_id = register_agent_instance.manifest_id
       and i.instance_id = register_agent_instance.instance_id;
    if v_stored <> v_digest then -- not so when it is null: registered before digests were stored
      raise exception 'idempotency_key was used for a registration with other values; send a new key'
        using errcode = 'AH002', column = 'idempotency_key';
    end if;
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
        metrics = case when l.epoch = excluded.epoch then l.metrics else '{}' end
  returning l.xmax = 0 into v_joined;
  if v_joined then -- without a lease the instance was unknown, or had ended
    perform mcp.limit_instances(tenant_id);
  end if;

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
  'one row. Each registration raises the epoch. Arguments that describe the instance (name to tags) and are null keep '
  'the value of an earlier registration. The name of a new instance is the agent_id. A call that repeats the latest '
  'idempotency_key keeps the epoch, returns the same answer and renews the lease. It fails if its values differ '
  '(AH002), or the tenant has as many types, configurations or instances as it may have (AH003). The server adds '
  'connection_defaults to connection_details, whose own members win.';
