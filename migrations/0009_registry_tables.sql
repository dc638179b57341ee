-- Create the tables of the registry: types of agents (manifests), each tenant's settings for a type (configurations),
-- and running instances with their leases. Agents run outside this server. A tenant is an organization.
--
-- Rules
--   1. Every key begins with the tenant, except a manifest's. Manifests are global, and a tenant contributes only the
--      agent_id of one.
--   2. A heartbeat changes only agent_leases. No index covers a column that a heartbeat changes, except lease_bin,
--      which changes every five minutes. All other heartbeats are heap-only updates.
--   3. Only mcp.is_alive decides whether an instance is alive, for the moment in question. The sweeper records what
--      is_alive returns. An instance without a lease is inactive.
--   4. Locks are taken in one order: configuration, instances by id, leases by registration_id. A statement that does
--      not wait (SKIP LOCKED) may take them in any order.
--   5. All times are on this database's clock. An argument `now` or `at` asks about another moment, for tests and
--      what-if questions.
do $$
declare
  v_taken text;
begin
  select string_agg('mcp.' || taken.name, ', ' order by taken.name) into v_taken
    from (select c.relname::text from pg_class c
           where c.relnamespace = to_regnamespace('mcp') and c.relname = any (array[
             'agents', 'agent_manifests', 'agent_configurations', 'agent_instances', 'agent_leases',
             'agent_search_terms', 'agent_brakes', 'agent_registrations', 'agent_liveness', 'agent_events',
             'agent_event_inbox', 'agent_event_log', 'lease_keepers', 'lease_pace'])
          union
          select p.proname::text || '()' from pg_proc p
           where p.pronamespace = to_regnamespace('mcp') and p.proname = any (array[
             'register_agent_instance', 'heartbeat_agent_instance', 'deregister_agent_instance',
             'sweep_agent_instances'])) as taken (name);
  if v_taken is not null then
    raise exception
      'Schema mcp already holds % of another program; rename or move them, then start again: nothing was changed.',
      v_taken
      using errcode = 'duplicate_table';
  end if;
end $$;

create schema if not exists mcp;
grant usage on schema mcp to agenthall_app, agenthall_system;

-- The tenant of a transaction -----------------------------------------------------------------------------------------

create function mcp.current_tenant() returns uuid language sql stable parallel safe as
$$ select nullif(current_setting('app.tenant_id', true), '')::uuid $$;
comment on function mcp.current_tenant is
  'Return the tenant of this transaction (setting app.tenant_id), or null. Row-level security reads it.';

create function mcp.act_for(tenant_id uuid) returns boolean language plpgsql as $$
begin
  if tenant_id is null then
    raise exception 'tenant_id must not be null' using errcode = '22023', column = 'tenant_id';
  elsif mcp.current_tenant() is null then
    perform set_config('app.tenant_id', tenant_id::text, true);
  elsif mcp.current_tenant() <> tenant_id then
    raise exception 'this transaction acts for tenant %, not for tenant %', mcp.current_tenant(), tenant_id
      using errcode = '42501';
  end if;
  return true;
end $$;
comment on function mcp.act_for is
  'Set the tenant of this transaction (setting app.tenant_id), or fail with 42501 if another tenant is set.';

-- Settings: `alter database … set mcp.lease_ttl = '15s'`, or per connection -------------------------------------------

create function mcp.lease_ttl() returns interval language sql stable parallel safe as
$$ select coalesce(nullif(current_setting('mcp.lease_ttl', true), ''), '15 seconds')::interval $$;
comment on function mcp.lease_ttl is
  'How long a lease lasts after a heartbeat (setting mcp.lease_ttl, default 15 s). The pace may raise it.';
create function mcp.heartbeat_interval() returns interval language sql stable parallel safe as
$$ select coalesce(nullif(current_setting('mcp.heartbeat_interval', true), ''), '5 seconds')::interval $$;
comment on function mcp.heartbeat_interval is
  'How often an instance sends a heartbeat (setting mcp.heartbeat_interval, default 5 s). The pace may raise it.';
create function mcp.lease_grace() returns interval language sql stable parallel safe as
$$ select coalesce(nullif(current_setting('mcp.lease_grace', true), ''), '30 seconds')::interval $$;
comment on function mcp.lease_grace is
  'How long instances stay alive after an outage of their keeper (setting mcp.lease_grace, default 30 s).';
create function mcp.longest_outage() returns interval language sql stable parallel safe as
$$ select coalesce(nullif(current_setting('mcp.longest_outage', true), ''), '120 seconds')::interval $$;
comment on function mcp.longest_outage is
  'How long a silent keeper keeps its instances alive (setting mcp.longest_outage, default 120 s).';
create function mcp.brake_hold() returns interval language sql stable parallel safe as
$$ select coalesce(nullif(current_setting('mcp.brake_hold', true), ''), '10 minutes')::interval $$;
comment on function mcp.brake_hold is
  'How long a brake holds after the last mass expiry or outage (setting mcp.brake_hold, default 10 min).';
create function mcp.retention_inactive() returns interval language sql stable parallel safe as
$$ select coalesce(nullif(current_setting('mcp.retention_inactive', true), ''), '60 seconds')::interval $$;
comment on function mcp.retention_inactive is
  'How long an instance stays stale before it is ended (setting mcp.retention_inactive, default 60 s).';
create function mcp.retention_deleted() returns interval language sql stable parallel safe as
$$ select coalesce(nullif(current_setting('mcp.retention_deleted', true), ''), '1 day')::interval $$;
comment on function mcp.retention_deleted is
  'How long an ended instance is kept as history (setting mcp.retention_deleted, default 1 day).';

-- Validation of values ------------------------------------------------------------------------------------------------

-- These functions are used in CHECK constraints. They are in PL/pgSQL, which a session compiles once. An SQL function
-- in a CHECK is parsed and inlined again by every statement that inserts.

create function mcp.is_printable(name text) returns boolean language plpgsql immutable parallel safe as $$
begin
  return name !~ '[\u0001-\u001f\u007f-\u00a0\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f'
                 '\u2028-\u202f\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff\U000e0000-\U000e0fff]';
end $$;
comment on function mcp.is_printable is
  'Return whether a name has no control, bidirectional or invisible characters: names that look alike must be equal.';

create function mcp.is_agent_id(agent_id text) returns boolean language plpgsql immutable parallel safe as $$
begin
  return char_length(agent_id) between 1 and 128
     and mcp.is_printable(agent_id) and agent_id = btrim(agent_id) and agent_id is nfc normalized
     and agent_id ~ '[A-Za-z]|[^\u0001-\u007f]'
     and agent_id !~* '^(urn:uuid:)?\{?[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}\}?$';
end $$;
comment on function mcp.is_agent_id is
  'Return whether the text is a meaningful name: 1 to 128 printable characters in Unicode form NFC, with a letter, '
  'without spaces around it, not a UUID.';

create function mcp.is_string_list(strings text[]) returns boolean language plpgsql immutable parallel safe as $$
begin
  return coalesce(array_ndims(strings), 1) = 1 and cardinality(strings) <= 64
     and coalesce((select bool_and(coalesce(char_length(s) between 1 and 128, false)) from unnest(strings) s), true);
end $$;
comment on function mcp.is_string_list is
  'Return whether the list has at most 64 strings of 1 to 128 characters, none of them null.';

create function mcp.is_object(document jsonb) returns boolean language plpgsql immutable parallel safe as $$
begin
  return jsonb_typeof(document) = 'object' and octet_length(document::text) <= 65536;
end $$;
comment on function mcp.is_object is
  'Return whether the document is a JSON object of at most 64 KiB, as PostgreSQL writes it.';

create function mcp.version_key(version text) returns text language plpgsql immutable parallel safe as $$
declare
  v_part text[] := regexp_match(version,
    '^[vV]?(\d{1,18})(?:\.(\d{1,18}))?(?:\.(\d{1,18}))?'
    '(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]+)?$');
  v_key  text := '';
  v_item text;
begin
  if v_part is null then
    return null;
  end if;
  for i in 1 .. 3 loop
    v_item := trunc(coalesce(v_part[i], '0')::numeric)::text;
    v_key := v_key || chr(64 + length(v_item)) || v_item;
  end loop;
  if v_part[4] is null then
    return v_key || '~';
  end if;
  foreach v_item in array string_to_array(v_part[4], '.') loop
    v_key := v_key || case
      when v_item ~ '^\d{1,18}$' then '1' || chr(64 + length(v_item::numeric::text)) || v_item::numeric::text
      else '2' || v_item || ' ' end;
  end loop;
  return v_key;
end $$;
comment on function mcp.version_key is
  'Return a key that sorts (collation "C") versions in the order of semver.org 2.0.0, clause 11, or null if the text '
  'is not a version. 1.2 equals 1.2.0; a leading v and build metadata are ignored.';

-- Manifests, configurations, instances --------------------------------------------------------------------------------

create table mcp.agent_manifests (
  id           uuid primary key default gen_random_uuid(),
  agent_id     text not null,
  agent_type   text,
  name         text,
  description  text,
  version      text,
  capabilities text[] not null default '{}',
  published    boolean not null default false,
  created_at   timestamptz not null default now(),
  updated_at   timestamptz not null default now(),
  constraint agent_manifests_agent_id_key unique (agent_id),
  constraint agent_manifests_identity unique (id, agent_id),
  constraint agent_manifests_agent_id check (mcp.is_agent_id(agent_id)),
  constraint agent_manifests_agent_type check (char_length(agent_type) between 1 and 128),
  constraint agent_manifests_name check (char_length(name) between 1 and 255),
  constraint agent_manifests_description check (char_length(description) <= 8192),
  constraint agent_manifests_version check (char_length(version) between 1 and 128),
  constraint agent_manifests_capabilities check (mcp.is_string_list(capabilities))
);
comment on table mcp.agent_manifests is
  'Types of agents, shared by all tenants. A registration creates one with nothing but its agent_id; only an '
  'administrator edits it.';
comment on column mcp.agent_manifests.agent_id is 'meaningful name of the type, for example ide-agent; never a UUID';
comment on column mcp.agent_manifests.published is
  'true: all tenants see it; false: only tenants that have configured it do';

create table mcp.agent_configurations (
  id            uuid not null default gen_random_uuid(),
  tenant_id     uuid not null,
  manifest_id   uuid not null references mcp.agent_manifests,
  name          text not null,
  claims_name   boolean not null default false,
  agent_type    text,
  model_id      text,
  temperature   double precision,
  max_tokens    integer,
  system_prompt text,
  max_workload  integer,
  capabilities  text[] not null default '{}',
  configuration jsonb not null default '{}',
  enabled       boolean not null default true,
  created_at    timestamptz not null default now(),
  updated_at    timestamptz not null default now(),
  primary key (tenant_id, manifest_id),
  constraint agent_configurations_id_key unique (id),
  constraint agent_configurations_name check (char_length(name) between 1 and 255),
  constraint agent_configurations_agent_type check (char_length(agent_type) between 1 and 128),
  constraint agent_configurations_model_id check (char_length(model_id) between 1 and 255),
  constraint agent_configurations_temperature check (temperature between 0 and 2),
  constraint agent_configurations_max_tokens check (max_tokens > 0),
  constraint agent_configurations_system_prompt check (octet_length(system_prompt) <= 262144),
  constraint agent_configurations_max_workload check (max_workload >= 0),
  constraint agent_configurations_capabilities check (mcp.is_string_list(capabilities)),
  constraint agent_configurations_configuration check (mcp.is_object(configuration))
);
comment on table mcp.agent_configurations is 'The settings of one tenant for a type of agent.';
comment on column mcp.agent_configurations.max_workload is 'limit for each instance; null: unlimited';
comment on column mcp.agent_configurations.enabled is
  'false: registrations are refused; instances that are registered stay';
comment on column mcp.agent_configurations.claims_name is
  'true: the name is unique among the tenant''s configurations that claim theirs. A write through mcp.agents claims '
  'the name; a registration does not.';
create index agent_configurations_manifest on mcp.agent_configurations (manifest_id);
create unique index agent_configurations_claimed_name on mcp.agent_configurations (tenant_id, name) where claims_name;

create table mcp.agent_instances (
  id                  uuid not null default gen_random_uuid(),
  tenant_id           uuid not null,
  manifest_id         uuid not null,
  agent_id            text not null,
  instance_id         text not null,
  name                text not null,
  agent_type          text,
  version             text,
  version_key         text collate "C" generated always as (mcp.version_key(version)) stored,
  capabilities        text[] not null default '{}',
  tags                text[] not null default '{}',
  zone                text,
  connection_details  jsonb not null default '{}',
  runtime_config      jsonb not null default '{}',
  registration_status text not null default 'active',
  status_reason       text,
  epoch               bigint not null default 1,
  idempotency_key     text,
  registered_by       text,
  registered_at       timestamptz not null default now(),
  connected_at        timestamptz not null default now(),
  updated_at          timestamptz not null default now(),
  ended_at            timestamptz,
  last_seen_at        timestamptz,
  primary key (tenant_id, manifest_id, instance_id),
  constraint agent_instances_id_key unique (id),
  constraint agent_instances_of_tenant unique (tenant_id, id),
  foreign key (tenant_id, manifest_id) references mcp.agent_configurations on delete cascade,
  constraint agent_instances_manifest foreign key (manifest_id, agent_id) references mcp.agent_manifests (id, agent_id),
  constraint agent_instances_instance_id check (
    char_length(instance_id) between 1 and 255 and mcp.is_printable(instance_id)),
  constraint agent_instances_name check (char_length(name) between 1 and 255),
  constraint agent_instances_agent_type check (char_length(agent_type) between 1 and 128),
  constraint agent_instances_version check (char_length(version) between 1 and 128),
  constraint agent_instances_capabilities check (mcp.is_string_list(capabilities)),
  constraint agent_instances_tags check (mcp.is_string_list(tags)),
  constraint agent_instances_zone check (char_length(zone) between 1 and 128),
  constraint agent_instances_connection_details check (mcp.is_object(connection_details)),
  constraint agent_instances_runtime_config check (mcp.is_object(runtime_config)),
  constraint agent_instances_status check (registration_status in ('active', 'draining', 'inactive')),
  constraint agent_instances_reason check (char_length(status_reason) <= 1024),
  constraint agent_instances_epoch check (epoch > 0),
  constraint agent_instances_key check (char_length(idempotency_key) between 1 and 255),
  constraint agent_instances_registered_by check (char_length(registered_by) <= 255),
  constraint agent_instances_ended check ((registration_status = 'inactive') = (ended_at is not null))
) with (fillfactor = 80);
comment on table mcp.agent_instances is
  'Instances of agents, and ended ones for mcp.retention_deleted(). Read mcp.agent_registrations to see whether they '
  'are alive.';
comment on column mcp.agent_instances.id is 'the registration_id';
comment on column mcp.agent_instances.version_key is 'mcp.version_key(version)';
comment on column mcp.agent_instances.status_reason is 'why the instance drains or ended';
comment on column mcp.agent_instances.registered_at is 'time of the first registration';
comment on column mcp.agent_instances.connected_at is 'time of the latest registration';
comment on column mcp.agent_instances.instance_id is
  'name that the instance gives itself and keeps across reconnections';
comment on column mcp.agent_instances.idempotency_key is
  'key of the latest registration; a repeated call with it changes nothing';
comment on column mcp.agent_instances.epoch is
  'number of the latest registration. Each registration raises it, and messages with a lower epoch change nothing.';
comment on column mcp.agent_instances.ended_at is 'when it became inactive';
comment on column mcp.agent_instances.last_seen_at is
  'last heartbeat before the instance ended; null while it has a lease, which holds a later one';
create index agent_instances_current on mcp.agent_instances (tenant_id, id) where registration_status <> 'inactive';
create index agent_instances_ended on mcp.agent_instances (ended_at) where registration_status = 'inactive';
create index agent_instances_last_seen on mcp.agent_instances (tenant_id, manifest_id, last_seen_at)
  where last_seen_at is not null;
create index agent_instances_type on mcp.agent_instances (manifest_id, agent_id); -- for the foreign key

-- Search terms are in registration_id order. A page costs the same with any plan, for a term that half of the instances
-- have and for one that ten have.
create table mcp.agent_search_terms (
  tenant_id       uuid not null,
  term            text collate "C" not null,
  registration_id uuid not null,
  primary key (tenant_id, term, registration_id),
  foreign key (tenant_id, registration_id) references mcp.agent_instances (tenant_id, id) on delete cascade
);
comment on table mcp.agent_search_terms is
  'Search terms of instances that are not inactive. Discovery looks instances up here.';
comment on column mcp.agent_search_terms.term is 'agent:<agent_id>, capability:<capability>, tag:<tag> or zone:<zone>';
create index agent_search_terms_instance on mcp.agent_search_terms (tenant_id, registration_id);

create table mcp.agent_leases (
  registration_id   uuid primary key,
  tenant_id         uuid not null,
  manifest_id       uuid not null,
  epoch             bigint not null,
  lease_expires_at  timestamptz not null,
  lease_bin         timestamptz not null
    generated always as (date_bin('5 minutes', lease_expires_at, '2000-01-01 00:00:00+00')) stored,
  last_health_check timestamptz not null,
  lapsed_at         timestamptz,
  keeper_id         uuid,
  lease_ttl         interval not null,
  workload          integer not null default 0,
  health_status     text not null default 'healthy',
  load              jsonb not null default '{}',
  metrics           jsonb not null default '{}',
  foreign key (tenant_id, registration_id) references mcp.agent_instances (tenant_id, id) on delete cascade,
  constraint agent_leases_health check (health_status in ('starting', 'healthy', 'degraded', 'unhealthy', 'stale')),
  constraint agent_leases_lapsed check ((health_status = 'stale') = (lapsed_at is not null)),
  constraint agent_leases_workload check (workload >= 0),
  -- The functions of 0010 limit the length of the text. These checks run in every heartbeat, even one without load and
  -- metrics, so they measure the stored size, which needs no decompression.
  constraint agent_leases_load check (jsonb_typeof(load) = 'object' and pg_column_size(load) <= 65536),
  constraint agent_leases_metrics check (jsonb_typeof(metrics) = 'object' and pg_column_size(metrics) <= 65536)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
comment on table mcp.agent_leases is
  'Leases of instances: everything that a heartbeat writes. With fillfactor 50 the new version of a row fits beside '
  'the old one.';
comment on column mcp.agent_leases.last_health_check is 'time of the last heartbeat';
comment on column mcp.agent_leases.lapsed_at is
  'when the sweeper marked the lease as lapsed (stale); null: not marked, which does not mean alive';
comment on column mcp.agent_leases.lease_bin is
  'start of the five minutes in which the lease expires; an index on it finds live leases among 200,000 lapsed ones';
comment on column mcp.agent_leases.keeper_id is
  'server process that received the last heartbeat; null: none, so only the lease decides';
create index agent_leases_unlapsed on mcp.agent_leases (tenant_id, manifest_id, lease_bin) where lapsed_at is null;
create index agent_leases_lapsed on mcp.agent_leases (tenant_id, manifest_id, lapsed_at) where lapsed_at is not null;

create table mcp.lease_keepers (
  id           uuid primary key,
  kind         text not null,
  started_at   timestamptz not null,
  last_heartbeat    timestamptz not null,
  outage_began timestamptz,
  outage_ended timestamptz,
  stopped_at   timestamptz,
  constraint lease_keepers_kind check (char_length(kind) between 1 and 64),
  constraint lease_keepers_outage check ((outage_began is null) = (outage_ended is null))
) with (fillfactor = 50);
comment on table mcp.lease_keepers is
  'Server processes that receive heartbeats. Each updates its row every second, so a gap tells an outage of the server '
  'from the death of an instance.';
comment on column mcp.lease_keepers.kind is 'kind of process, for example web or sockets';
comment on column mcp.lease_keepers.last_heartbeat is 'when the process last showed that it can receive heartbeats';
comment on column mcp.lease_keepers.outage_began is
  'start of the last outage, or of the first of several that are less than mcp.lease_grace() apart';
comment on column mcp.lease_keepers.outage_ended is 'end of the last outage';
comment on column mcp.lease_keepers.stopped_at is 'when the process stopped on request; its silence is no outage';

create table mcp.lease_pace (
  singleton        boolean primary key default true check (singleton),
  interval_seconds double precision not null default 0,
  ttl_seconds      double precision not null default 0,
  live             bigint not null default 0,
  updated_at       timestamptz not null default now()
);
comment on table mcp.lease_pace is
  'The slowest pace of heartbeats that the number of instances calls for; the sweeper updates it. mcp.current_pace() '
  'combines it with the settings.';
comment on column mcp.lease_pace.live is 'live instances at the last sweep';
comment on column mcp.lease_pace.updated_at is 'time of the last sweep';
insert into mcp.lease_pace default values;

create table mcp.agent_brakes (
  tenant_id   uuid not null,
  manifest_id uuid not null,
  since       timestamptz not null,
  stale       integer not null,
  total       integer not null,
  primary key (tenant_id, manifest_id),
  foreign key (tenant_id, manifest_id) references mcp.agent_configurations on delete cascade
);
comment on table mcp.agent_brakes is
  'Brakes on sets (one type of agent of one tenant). A brake engages when so many instances lapse at once that the '
  'server or the network is probably at fault. It keeps stale instances from being ended.';
comment on column mcp.agent_brakes.stale is 'stale instances of the set at the last sweep';
comment on column mcp.agent_brakes.total is 'all instances of the set at the last sweep';

-- Liveness ------------------------------------------------------------------------------------------------------------

create function mcp.is_alive(lease mcp.agent_leases, keeper mcp.lease_keepers, at timestamptz) returns boolean
language sql stable parallel safe as $$
  select coalesce(lease.lapsed_at is null and (
    lease.lease_expires_at > at
    -- The keeper is silent, so it could not have received the instance's heartbeats.
    or (keeper.stopped_at is null and at > keeper.last_heartbeat + interval '3 seconds'
        and at < keeper.last_heartbeat + mcp.longest_outage()
        and lease.lease_expires_at > keeper.last_heartbeat
        and lease.last_health_check <= keeper.last_heartbeat + interval '10 seconds')
    -- The keeper is back, or was back and fell silent again within the grace, and has not heard the instance since.
    or ((at < keeper.outage_ended + mcp.lease_grace()
         or keeper.stopped_at is null and keeper.last_heartbeat < keeper.outage_ended + mcp.lease_grace()
            and at < keeper.last_heartbeat + mcp.longest_outage())
        and lease.lease_expires_at > keeper.outage_began and lease.last_health_check <= keeper.outage_ended)
  ), false)
$$;
comment on function mcp.is_alive is
  'Return whether an instance is alive at a moment: its lease lasts, or its keeper fell silent before the lease ended '
  'and has not heard the instance since. In the second case it stays alive while the keeper is silent, for at most '
  'mcp.longest_outage(), and for mcp.lease_grace() after the keeper is back. Ten seconds of tolerance cover a keeper '
  'that receives heartbeats before it updates its own row. Without a keeper only the lease decides. PostgreSQL inlines '
  'this function: pass `at` as a variable or as statement_timestamp().';

create function mcp.oldest_live_bin(at timestamptz) returns timestamptz language sql stable parallel safe as $$
  select date_bin('5 minutes', least(at, (
    select min(case when least(at, k.last_heartbeat) < k.outage_ended + mcp.lease_grace()
                    then least(k.outage_began, k.last_heartbeat) else k.last_heartbeat end)
      from mcp.lease_keepers k
     where k.stopped_at is null and at < k.last_heartbeat + mcp.longest_outage()
        or at < k.outage_ended + mcp.lease_grace())),
    '2000-01-01 00:00:00+00')
$$;
comment on function mcp.oldest_live_bin is 'Return the oldest lease_bin whose leases can be alive at a moment.';

create view mcp.agent_liveness with (security_invoker = true) as
  select l.registration_id, l.tenant_id, l.manifest_id, l.epoch, l.lease_expires_at,
         mcp.is_alive(l, k, statement_timestamp()) as alive
    from mcp.agent_leases l
    left join mcp.lease_keepers k on k.id = l.keeper_id;
comment on view mcp.agent_liveness is 'Every lease, and whether its instance is alive now.';

create function mcp.agent_registrations_at(at timestamptz)
returns table (
  id uuid, manifest_id uuid, tenant_id uuid, instance_id text, agent_id text, name text, agent_type text, version text,
  capabilities text[], tags text[], zone text, registration_status text, health_status text, status_reason text,
  last_health_check timestamptz, connection_details jsonb, runtime_config jsonb, epoch bigint, workload integer,
  load jsonb, metrics jsonb, lease_expires_at timestamptz, registered_by text, registered_at timestamptz,
  connected_at timestamptz, updated_at timestamptz, version_key text
) language sql stable as $$
  select i.id, i.manifest_id, i.tenant_id, i.instance_id, i.agent_id, i.name, i.agent_type, i.version,
         i.capabilities, i.tags, i.zone,
         case when mcp.is_alive(l, k, at) then i.registration_status else 'inactive' end,
         case when mcp.is_alive(l, k, at) then l.health_status else 'stale' end,
         i.status_reason, coalesce(l.last_health_check, i.last_seen_at), i.connection_details, i.runtime_config,
         i.epoch, coalesce(l.workload, 0), coalesce(l.load, '{}'), coalesce(l.metrics, '{}'), l.lease_expires_at,
         i.registered_by, i.registered_at, i.connected_at, i.updated_at, i.version_key
    from mcp.agent_instances i
    left join mcp.agent_leases l on l.registration_id = i.id
    left join mcp.lease_keepers k on k.id = l.keeper_id
$$;
comment on function mcp.agent_registrations_at is
  'Return the rows of mcp.agent_registrations as of a moment, computed from what is stored now.';

create view mcp.agent_registrations with (security_invoker = true) as
  select id, manifest_id, tenant_id, instance_id, agent_id, name, agent_type, version, capabilities, tags, zone,
         registration_status, health_status, status_reason, last_health_check, connection_details, runtime_config,
         epoch, workload, load, metrics, lease_expires_at, registered_by, registered_at, connected_at, updated_at,
         version_key
    from mcp.agent_registrations_at(statement_timestamp());
comment on view mcp.agent_registrations is
  'Registrations: one row for each instance, computed when it is read. Once the lease has lapsed, registration_status '
  'is inactive and health_status is stale, even before a sweep.';
comment on column mcp.agent_registrations.id is 'the registration_id';
comment on column mcp.agent_registrations.registration_status is 'active, draining or inactive';
comment on column mcp.agent_registrations.health_status is 'starting, healthy, degraded, unhealthy or stale';
comment on column mcp.agent_registrations.status_reason is 'why the instance drains or ended';
comment on column mcp.agent_registrations.last_health_check is 'time of the last heartbeat';
comment on column mcp.agent_registrations.epoch is 'number of the latest registration';
comment on column mcp.agent_registrations.workload is
  'load.workload of the last heartbeat that reported one: the work in progress';
comment on column mcp.agent_registrations.connected_at is 'time of the latest registration';
comment on column mcp.agent_registrations.registered_at is 'time of the first registration';
comment on column mcp.agent_registrations.version_key is 'sorts like the version (collation "C"); null: not a version';

-- Row-level security --------------------------------------------------------------------------------------------------

do $$
declare
  v_table text;
begin
  foreach v_table in array array['agent_manifests', 'agent_configurations', 'agent_instances', 'agent_search_terms',
                                 'agent_leases', 'lease_keepers', 'lease_pace', 'agent_brakes'] loop
    execute format('alter table mcp.%I enable row level security', v_table);
    execute format('alter table mcp.%I force row level security', v_table);
    execute format('grant select, insert, update, delete on mcp.%I to agenthall_system', v_table);
    execute format('create policy system_all on mcp.%I to agenthall_system using (true) with check (true)', v_table);
  end loop;
  foreach v_table in array array['agent_configurations', 'agent_instances', 'agent_search_terms', 'agent_leases',
                                 'agent_brakes'] loop
    execute format('create policy all_own on mcp.%I to agenthall_app using (tenant_id = (select mcp.current_tenant()))
                    with check (tenant_id = (select mcp.current_tenant()))', v_table);
  end loop;
end $$;

grant select, insert, update, delete
  on mcp.agent_configurations, mcp.agent_instances, mcp.agent_search_terms, mcp.agent_leases
  to agenthall_app;
grant select
  on mcp.agent_manifests, mcp.agent_brakes, mcp.lease_keepers, mcp.lease_pace, mcp.agent_liveness,
     mcp.agent_registrations
  to agenthall_app;
grant select on mcp.agent_liveness, mcp.agent_registrations to agenthall_system;
grant insert (id, agent_id) on mcp.agent_manifests to agenthall_app;
create policy insert_identity on mcp.agent_manifests for insert to agenthall_app with check (true);
create policy select_visible on mcp.agent_manifests for select to agenthall_app using (
  published or exists (
    select from mcp.agent_configurations c
     where c.tenant_id = (select mcp.current_tenant()) and c.manifest_id = agent_manifests.id));
create policy select_all on mcp.lease_keepers for select to agenthall_app using (true);
create policy select_all on mcp.lease_pace for select to agenthall_app using (true);

-- Find the id of a manifest that another tenant created and row-level security hides. SECURITY DEFINER with the rights
-- of agenthall_system, not with those of the login that migrates.
create function mcp.manifest_id_for(agent_id text) returns uuid
language sql stable security definer set search_path = pg_catalog, pg_temp as
$$ select m.id from mcp.agent_manifests m where m.agent_id = manifest_id_for.agent_id $$;
comment on function mcp.manifest_id_for is
  'Return the id of the manifest with this agent_id, even if row-level security hides the manifest itself.';
revoke execute on function mcp.manifest_id_for from public;
grant execute on function mcp.manifest_id_for to agenthall_app, agenthall_system;
grant create on schema mcp to agenthall_system;
alter function mcp.manifest_id_for owner to agenthall_system;
revoke create on schema mcp from agenthall_system;
