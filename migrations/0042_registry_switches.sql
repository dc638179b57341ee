-- Let operators take an instance, or all of a type of agent, out of discovery at once.
--
-- Rules
--   1. A cordon belongs to the instance_id. No registration lifts it, and an ended instance that is cordoned is kept as
--      history until the cordon is lifted: a crash loop stays out, however long it pauses.
--   2. A cordoned instance keeps its lease and sends heartbeats. Readers see the cordon, and discovery leaves it out.
--   3. A disabled configuration changes no instance. Queries for instances that take work look at it.

-- Cordons -------------------------------------------------------------------------------------------------------------

alter table mcp.agent_instances
  add column cordoned_at timestamptz,
  add column cordoned_by text,
  add column cordon_reason text,
  add constraint agent_instances_cordoned_by check (char_length(cordoned_by) <= 255),
  add constraint agent_instances_cordon_reason check (char_length(cordon_reason) <= 1024),
  add constraint agent_instances_cordon check (cordoned_at is not null or coalesce(cordoned_by, cordon_reason) is null);
comment on column mcp.agent_instances.cordoned_at is 'since when operators keep it from work; null: they do not';
comment on column mcp.agent_instances.cordoned_by is 'identity that cordoned it';
comment on column mcp.agent_instances.cordon_reason is 'why it is cordoned';
create index agent_instances_cordoned on mcp.agent_instances (id) where cordoned_at is not null;
drop index mcp.agent_instances_ended;
create index agent_instances_ended on mcp.agent_instances (ended_at)
  where registration_status = 'inactive' and cordoned_at is null;

alter table mcp.agent_event_inbox
  drop constraint agent_event_inbox_kind,
  add constraint agent_event_inbox_kind check (kind in (
    'registered', 'reconnected', 'updated', 'health', 'draining', 'cordoned', 'uncordoned', 'deregistered',
    'disconnected', 'stale', 'revived', 'inactive', 'deleted'));
alter table mcp.agent_events
  drop constraint agent_events_kind,
  add constraint agent_events_kind check (kind in (
    'registered', 'reconnected', 'updated', 'health', 'draining', 'cordoned', 'uncordoned', 'deregistered',
    'disconnected', 'stale', 'revived', 'inactive', 'deleted'));

-- The view is replaced and never dropped: views of others may read it.
create or replace view mcp.agent_registrations with (security_invoker = true) as
  select null::uuid as id, null::uuid as manifest_id, null::uuid as tenant_id, null::text as instance_id,
         null::text as agent_id, null::text as name, null::text as agent_type, null::text as version,
         null::text[] as capabilities, null::text[] as tags, null::text as zone, null::text as registration_status,
         null::text as health_status, null::text as status_reason, null::timestamptz as last_health_check,
         null::jsonb as connection_details, null::jsonb as runtime_config, null::bigint as epoch,
         null::integer as workload, null::jsonb as load, null::jsonb as metrics, null::timestamptz as lease_expires_at,
         null::text as registered_by, null::timestamptz as registered_at, null::timestamptz as connected_at,
         null::timestamptz as updated_at, null::text as version_key
   where false;
drop function mcp.agent_registrations_at;
create function mcp.agent_registrations_at(at timestamptz)
returns table (
  id uuid, manifest_id uuid, tenant_id uuid, instance_id text, agent_id text, name text, agent_type text, version text,
  capabilities text[], tags text[], zone text, registration_status text, health_status text, status_reason text,
  last_health_check timestamptz, connection_details jsonb, runtime_config jsonb, epoch bigint, workload integer,
  load jsonb, metrics jsonb, lease_expires_at timestamptz, registered_by text, registered_at timestamptz,
  connected_at timestamptz, updated_at timestamptz, version_key text, cordoned_at timestamptz, cordoned_by text,
  cordon_reason text
) language sql stable as $$
  select i.id, i.manifest_id, i.tenant_id, i.instance_id, i.agent_id, i.name, i.agent_type, i.version,
         i.capabilities, i.tags, i.zone,
         case when mcp.is_alive(l, k, at) then i.registration_status else 'inactive' end,
         case when mcp.is_alive(l, k, at) then l.health_status else 'stale' end,
         i.status_reason, coalesce(l.last_health_check, i.last_seen_at), i.connection_details, i.runtime_config,
         i.epoch, coalesce(l.workload, 0), coalesce(l.load, '{}'), coalesce(l.metrics, '{}'), l.lease_expires_at,
         i.registered_by, i.registered_at, i.connected_at, i.updated_at, i.version_key, i.cordoned_at, i.cordoned_by,
         i.cordon_reason
    from mcp.agent_instances i
    left join mcp.agent_leases l on l.registration_id = i.id
    left join mcp.lease_keepers k on k.id = l.keeper_id
$$;
comment on function mcp.agent_registrations_at is
  'Return the rows of mcp.agent_registrations as of a moment, computed from what is stored now.';
create or replace view mcp.agent_registrations with (security_invoker = true) as
  select id, manifest_id, tenant_id, instance_id, agent_id, name, agent_type, version, capabilities, tags, zone,
         registration_status, health_status, status_reason, last_health_check, connection_details, runtime_config,
         epoch, workload, load, metrics, lease_expires_at, registered_by, registered_at, connected_at, updated_at,
         version_key, cordoned_at, cordoned_by, cordon_reason
    from mcp.agent_registrations_at(statement_timestamp());
comment on column mcp.agent_registrations.cordoned_at is
  'since when operators keep it from work, whatever its status; null: they do not';
comment on column mcp.agent_registrations.cordoned_by is 'identity that cordoned it';
comment on column mcp.agent_registrations.cordon_reason is 'why it is cordoned';

create or replace function mcp.record_agent_events(kind text, registration_ids uuid[], at timestamptz) returns void
language plpgsql as $$
begin
  insert into mcp.agent_event_inbox (tenant_id, registration_id, agent_id, kind, instance, at)
  select r.tenant_id, r.id, r.agent_id, record_agent_events.kind,
         mcp.public_instance(
           to_jsonb(r) || jsonb_build_object('cordoned_at', agenthall.iso(r.cordoned_at))
           || mcp.iso_timestamps(
             r.last_health_check, r.lease_expires_at, r.registered_at, r.connected_at, r.updated_at)),
         record_agent_events.at
    from unnest(registration_ids) as changed (id)
   cross join lateral ( -- look up each id by itself: a plan for all of them may read the whole tenant
     select found.* from mcp.agent_registrations_at(record_agent_events.at) found where found.id = changed.id
     offset 0) as r
   order by r.id;
end $$;

create or replace function mcp.record_deleted_instances() returns trigger language plpgsql as $$
begin
  insert into mcp.agent_event_inbox (tenant_id, registration_id, agent_id, kind, instance, at)
  select d.tenant_id, d.id, d.agent_id, 'deleted', mcp.public_instance(
           to_jsonb(d) - array['idempotency_key', 'idempotency_digest', 'ended_at', 'last_seen_at']
           || jsonb_build_object(
             'registration_status', 'inactive', 'health_status', 'stale', 'workload', 0, 'load', '{}'::jsonb,
             'metrics', '{}'::jsonb, 'cordoned_at', agenthall.iso(d.cordoned_at))
           || mcp.iso_timestamps(d.last_seen_at, null, d.registered_at, d.connected_at, d.updated_at)),
         clock_timestamp()
    from deleted_rows d
   order by d.id;
  return null;
end $$;

create or replace function mcp.delete_ended(at timestamptz, max_rows integer) returns integer language plpgsql as $$
declare
  v_count integer;
begin
  delete from mcp.agent_instances i where i.id = any (array(
    select e.id from mcp.agent_instances e
     where e.registration_status = 'inactive' and e.cordoned_at is null and e.ended_at <= at - mcp.retention_deleted()
     order by e.ended_at limit max_rows for update skip locked));
  get diagnostics v_count = row_count;
  return v_count;
end $$;
comment on function mcp.delete_ended is
  'Delete instances that ended mcp.retention_deleted() ago and are not cordoned, at most max_rows, and return their '
  'number.';

create function mcp.cordon_agent_instance(
  tenant_id uuid, registration_id uuid, reason text default null, cordoned_by text default null,
  now timestamptz default null
) returns table (outcome text) language plpgsql as $$
#variable_conflict use_column
declare
  v_now timestamptz := coalesce(cordon_agent_instance.now, clock_timestamp());
begin
  perform mcp.check_argument(coalesce(char_length(reason), 0) <= 1024, 'reason', 'must have at most 1024 characters');
  perform mcp.check_argument(
    coalesce(char_length(cordoned_by), 0) <= 255, 'cordoned_by', 'must have at most 255 characters');
  select h.outcome into outcome from mcp.lock_instance(tenant_id, registration_id, null) h;
  if outcome = 'ok' then
    update mcp.agent_instances i
       set cordoned_at = coalesce(i.cordoned_at, v_now), cordoned_by = cordon_agent_instance.cordoned_by,
           cordon_reason = cordon_agent_instance.reason, updated_at = v_now
     where i.id = cordon_agent_instance.registration_id
       and (i.cordoned_at is null or i.cordon_reason is distinct from cordon_agent_instance.reason);
    if found then
      perform mcp.record_agent_events('cordoned', array[cordon_agent_instance.registration_id], v_now);
    end if;
  end if;
  return next;
end $$;
comment on function mcp.cordon_agent_instance is
  'Keep an instance from work until mcp.uncordon_agent_instance, through all its further registrations, in any status. '
  'It keeps its lease and its jobs. A cordon that is repeated with another reason keeps the time of the first. '
  'outcome: ok, or unknown (no such instance).';

create function mcp.uncordon_agent_instance(tenant_id uuid, registration_id uuid, now timestamptz default null)
returns table (outcome text) language plpgsql as $$
#variable_conflict use_column
declare
  v_now timestamptz := coalesce(uncordon_agent_instance.now, clock_timestamp());
begin
  select h.outcome into outcome from mcp.lock_instance(tenant_id, registration_id, null) h;
  if outcome = 'ok' then
    update mcp.agent_instances i
       set cordoned_at = null, cordoned_by = null, cordon_reason = null, updated_at = v_now
     where i.id = uncordon_agent_instance.registration_id and i.cordoned_at is not null;
    if found then
      perform mcp.record_agent_events('uncordoned', array[uncordon_agent_instance.registration_id], v_now);
    end if;
  end if;
  return next;
end $$;
comment on function mcp.uncordon_agent_instance is
  'Lift the cordon of an instance. outcome: ok (even if it was not cordoned), or unknown (no such instance).';

-- Disabled configurations ---------------------------------------------------------------------------------------------

create index agent_configurations_disabled on mcp.agent_configurations (tenant_id, manifest_id) where not enabled;
comment on column mcp.agent_configurations.enabled is
  'false: registrations are refused, and discovery leaves its instances out at once; they stay registered';

create or replace view mcp.agents with (security_invoker = true) as
  select c.id, c.tenant_id, m.agent_id, c.name, c.agent_type as type,
         case when not c.enabled then 'offline' when seen.live then 'active' else 'available' end as status,
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
  'Agents of a tenant for older code: INSERT, UPDATE and DELETE change configurations. status is offline if the '
  'configuration is disabled, else active with a live instance, else available.';

-- Dropped, because result columns are new.
drop function mcp.heartbeat_agent_instance;
create function mcp.heartbeat_agent_instance(
  tenant_id uuid, registration_id uuid, epoch bigint, health text default null, load jsonb default null,
  metrics jsonb default null, keeper_id uuid default null, now timestamptz default null
) returns table (
  outcome text, heartbeat_interval_seconds double precision, lease_ttl_seconds double precision, enabled boolean,
  cordoned boolean
) language plpgsql as $$
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
    enabled := not exists ( -- among the disabled ones, which are few
      select from mcp.agent_configurations c
       where c.tenant_id = v_tenant and c.manifest_id = v_lease.manifest_id and not c.enabled);
    cordoned := exists (select from mcp.agent_instances i where i.id = v_id and i.cordoned_at is not null);
  else
    outcome := mcp.heartbeat_rejection(v_tenant, v_id, v_epoch);
  end if;
  return next;
end $$;
comment on function mcp.heartbeat_agent_instance is
  'Extend the lease of an instance and return when to send the next heartbeat. A stale instance becomes alive again. '
  'outcome: ok, superseded (a later registration exists), or must_register (the instance is inactive or unknown, or '
  'never had this epoch). Arguments health, load and metrics that are null keep their value. With outcome ok, enabled '
  'says whether the configuration is enabled, and cordoned whether operators keep the instance from work.';
