-- The registry of agents that run elsewhere: what types there are, what each tenant has set for them, which instances live.
--
-- Rules
--   1. Every key begins with the tenant; a manifest has none: its identity is global, and nothing but its identity comes from a tenant.
--   2. What changes with a heartbeat is in agent_leases alone. No index covers a column that a heartbeat changes, except lease_bin,
--      which changes every five minutes: all other heartbeats are heap-only updates.
--   3. Whether an instance lives is decided by mcp.is_alive, for the moment that is asked about, and by nothing else. The sweeper
--      only writes down what is_alive says. An instance without a lease is inactive.
--   4. Locks are taken in one order: configuration, instances by id, leases by registration_id. Who does not wait may do otherwise.
--   5. All times are this database's. Who gives `now` asks about another moment (tests, and what-if).
do $$
declare
  v_taken text;
begin
  select string_agg('mcp.' || taken.name, ', ' order by taken.name) into v_taken
    from (select c.relname::text from pg_class c
           where c.relnamespace = to_regnamespace('mcp') and c.relname = any (array[
             'agents', 'agent_manifests', 'agent_configurations', 'agent_instances', 'agent_leases', 'agent_terms', 'agent_brakes',
             'agent_registrations', 'agent_liveness', 'agent_events', 'agent_event_inbox', 'agent_event_log', 'lease_keepers', 'lease_pace'])
          union
          select p.proname::text || '()' from pg_proc p
           where p.pronamespace = to_regnamespace('mcp') and p.proname = any (array[
             'register_agent_instance', 'heartbeat_agent_instance', 'deregister_agent_instance', 'sweep_agent_instances'])) as taken (name);
  if v_taken is not null then
    raise exception 'Schema mcp already holds % of another program; rename or move them, then start again: nothing was changed.', v_taken
      using errcode = 'duplicate_table';
  end if;
end $$;

create schema if not exists mcp;
grant usage on schema mcp to agenthall_app, agenthall_system;

-- Whose rows are meant -------------------------------------------------------------------------------------------------------------

create function mcp.current_tenant() returns uuid language sql stable parallel safe as
$$ select nullif(current_setting('app.tenant_id', true), '')::uuid $$;

create function mcp.act_for(tenant_id uuid) returns boolean language plpgsql as $$
begin
  if tenant_id is null then
    raise exception 'tenant_id must not be null' using errcode = '22023', column = 'tenant_id';
  elsif mcp.current_tenant() is null then
    perform set_config('app.tenant_id', tenant_id::text, true);
  elsif mcp.current_tenant() <> tenant_id then
    raise exception 'this transaction acts for tenant %, not for tenant %', mcp.current_tenant(), tenant_id using errcode = '42501';
  end if;
  return true;
end $$;
comment on function mcp.act_for is 'Sets the tenant of the transaction where none is set; 42501 when it is another one.';

-- Settings: `alter database … set mcp.lease_ttl = '15s'`, or per connection ------------------------------------------------------------

create function mcp.lease_ttl() returns interval language sql stable parallel safe as
$$ select coalesce(nullif(current_setting('mcp.lease_ttl', true), ''), '15 seconds')::interval $$;
create function mcp.heartbeat_interval() returns interval language sql stable parallel safe as
$$ select coalesce(nullif(current_setting('mcp.heartbeat_interval', true), ''), '5 seconds')::interval $$;
create function mcp.lease_grace() returns interval language sql stable parallel safe as
$$ select coalesce(nullif(current_setting('mcp.lease_grace', true), ''), '30 seconds')::interval $$;
create function mcp.longest_outage() returns interval language sql stable parallel safe as
$$ select coalesce(nullif(current_setting('mcp.longest_outage', true), ''), '120 seconds')::interval $$;
create function mcp.brake_hold() returns interval language sql stable parallel safe as
$$ select coalesce(nullif(current_setting('mcp.brake_hold', true), ''), '10 minutes')::interval $$;
create function mcp.retention_inactive() returns interval language sql stable parallel safe as
$$ select coalesce(nullif(current_setting('mcp.retention_inactive', true), ''), '60 seconds')::interval $$;
create function mcp.retention_deleted() returns interval language sql stable parallel safe as
$$ select coalesce(nullif(current_setting('mcp.retention_deleted', true), ''), '1 day')::interval $$;

-- What values may be ---------------------------------------------------------------------------------------------------------------

-- In PL/pgSQL, which is compiled once in a session: an SQL function in a CHECK is parsed and inlined anew by every statement that inserts.

create function mcp.is_visible(name text) returns boolean language plpgsql immutable parallel safe as $$
begin
  return name !~ '[\u0001-\u001f\u007f-\u00a0\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202f\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff\U000e0000-\U000e0fff]';
end $$;
comment on function mcp.is_visible is 'No control, no bidirectional mark and nothing that looks like nothing: two names that look alike are alike.';

create function mcp.is_agent_id(agent_id text) returns boolean language plpgsql immutable parallel safe as $$
begin
  return char_length(agent_id) between 1 and 128
     and mcp.is_visible(agent_id) and agent_id = btrim(agent_id) and agent_id is nfc normalized
     and agent_id ~ '[A-Za-z]|[^\u0001-\u007f]'
     and agent_id !~* '^(urn:uuid:)?\{?[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}\}?$';
end $$;
comment on function mcp.is_agent_id is 'A meaningful name: 1 to 128 printable characters, a letter among them, no space around, in Unicode''s form NFC (one spelling for what looks alike), never a UUID.';

create function mcp.are_words(words text[]) returns boolean language plpgsql immutable parallel safe as $$
begin
  return coalesce(array_ndims(words), 1) = 1 and cardinality(words) <= 64
     and coalesce((select bool_and(coalesce(char_length(word) between 1 and 128, false)) from unnest(words) word), true);
end $$;
comment on function mcp.are_words is 'At most 64 words of 1 to 128 characters, none of them null.';

create function mcp.is_object(document jsonb) returns boolean language plpgsql immutable parallel safe as $$
begin
  return jsonb_typeof(document) = 'object' and octet_length(document::text) <= 65536;
end $$;

create function mcp.version_key(version text) returns text language plpgsql immutable parallel safe as $$
declare
  v_part text[] := regexp_match(version, '^[vV]?(\d{1,18})(?:\.(\d{1,18}))?(?:\.(\d{1,18}))?(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]+)?$');
  v_key  text := '';
  v_word text;
begin
  if v_part is null then
    return null;
  end if;
  for i in 1 .. 3 loop
    v_word := trunc(coalesce(v_part[i], '0')::numeric)::text;
    v_key := v_key || chr(64 + length(v_word)) || v_word;
  end loop;
  if v_part[4] is null then
    return v_key || '~';
  end if;
  foreach v_word in array string_to_array(v_part[4], '.') loop
    v_key := v_key || case
      when v_word ~ '^\d{1,18}$' then '1' || chr(64 + length(v_word::numeric::text)) || v_word::numeric::text
      else '2' || v_word || ' ' end;
  end loop;
  return v_key;
end $$;
comment on function mcp.version_key is
  'Sorts (collation "C") as semver.org 2.0.0, clause 11, orders versions; 1.2 is 1.2.0, a leading v and build metadata do not count; null for what is no version.';

-- The three tiers ------------------------------------------------------------------------------------------------------------------

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
  constraint agent_manifests_capabilities check (mcp.are_words(capabilities))
);
comment on column mcp.agent_manifests.published is 'every tenant sees it; one that is not is seen by the tenants that have configured it';

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
  constraint agent_configurations_capabilities check (mcp.are_words(capabilities)),
  constraint agent_configurations_configuration check (mcp.is_object(configuration))
);
comment on column mcp.agent_configurations.max_workload is 'of each instance; null: unlimited';
comment on column mcp.agent_configurations.claims_name is
  'no other that claims its name may have it in this tenant: those written through mcp.agents do, those that a registration made do not';
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
  constraint agent_instances_instance_id check (char_length(instance_id) between 1 and 255 and mcp.is_visible(instance_id)),
  constraint agent_instances_name check (char_length(name) between 1 and 255),
  constraint agent_instances_agent_type check (char_length(agent_type) between 1 and 128),
  constraint agent_instances_version check (char_length(version) between 1 and 128),
  constraint agent_instances_capabilities check (mcp.are_words(capabilities)),
  constraint agent_instances_tags check (mcp.are_words(tags)),
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
comment on column mcp.agent_instances.id is 'the registration_id';
comment on column mcp.agent_instances.epoch is 'which of its lives: every registration raises it, and messages of former ones change nothing';
comment on column mcp.agent_instances.ended_at is 'since when it is inactive';
comment on column mcp.agent_instances.last_seen_at is 'the last heartbeat of a life that has ended; while it has a lease, that knows better';
create index agent_instances_current on mcp.agent_instances (tenant_id, id) where registration_status <> 'inactive';
create index agent_instances_ended on mcp.agent_instances (ended_at) where registration_status = 'inactive';
create index agent_instances_last_seen on mcp.agent_instances (tenant_id, manifest_id, last_seen_at) where last_seen_at is not null;
create index agent_instances_type on mcp.agent_instances (manifest_id, agent_id); -- for the foreign key

-- Everything that instances are looked up by, in registration_id order: a page costs the same for a word that half of them have and
-- for one that ten have, with any plan. Only instances that are not inactive have terms.
create table mcp.agent_terms (
  tenant_id       uuid not null,
  term            text collate "C" not null,
  registration_id uuid not null,
  primary key (tenant_id, term, registration_id),
  foreign key (tenant_id, registration_id) references mcp.agent_instances (tenant_id, id) on delete cascade
);
comment on column mcp.agent_terms.term is 'agent:<agent_id>, capability:<word>, tag:<word> or zone:<zone>';
create index agent_terms_instance on mcp.agent_terms (tenant_id, registration_id);

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
  -- the verbs measure the text (0010); this net is looked at in every heartbeat, also where nothing was said, and must not read what is stored
  constraint agent_leases_load check (jsonb_typeof(load) = 'object' and pg_column_size(load) <= 65536),
  constraint agent_leases_metrics check (jsonb_typeof(metrics) = 'object' and pg_column_size(metrics) <= 65536)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
comment on table mcp.agent_leases is 'What heartbeats write. fillfactor 50: the new version of a row finds room beside the old one';
comment on column mcp.agent_leases.lapsed_at is 'when the sweeper found it lapsed (stale); null otherwise, lapsed or not';
comment on column mcp.agent_leases.lease_bin is
  'the five minutes in which the lease expires: finds those that may live among 200,000 that do not, swept or not';
comment on column mcp.agent_leases.keeper_id is 'the server process that took the last heartbeat; null: none, the lease alone decides';
create index agent_leases_unlapsed on mcp.agent_leases (tenant_id, manifest_id, lease_bin) where lapsed_at is null;
create index agent_leases_lapsed on mcp.agent_leases (tenant_id, manifest_id, lapsed_at) where lapsed_at is not null;

create table mcp.lease_keepers (
  id           uuid primary key,
  kind         text not null,
  started_at   timestamptz not null,
  last_beat    timestamptz not null,
  outage_began timestamptz,
  outage_ended timestamptz,
  stopped_at   timestamptz,
  constraint lease_keepers_kind check (char_length(kind) between 1 and 64),
  constraint lease_keepers_outage check ((outage_began is null) = (outage_ended is null))
) with (fillfactor = 50);
comment on column mcp.lease_keepers.outage_began is 'of the last outage, or of the first of several with less than mcp.lease_grace() between them';
comment on table mcp.lease_keepers is
  'Server processes that take heartbeats. Each writes its row every second: so an outage of ours is told from the death of an instance';

create table mcp.lease_pace (
  singleton        boolean primary key default true check (singleton),
  interval_seconds double precision not null default 0,
  ttl_seconds      double precision not null default 0,
  live             bigint not null default 0,
  updated_at       timestamptz not null default now()
);
comment on table mcp.lease_pace is 'How slowly so many instances must beat; the sweeper renews it. Never less than mcp.heartbeat_interval() and mcp.lease_ttl() is dictated';
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
comment on table mcp.agent_brakes is 'Sets of which so many instances lapsed at once that the fault is probably ours: their stale instances are not made inactive';

-- Who lives ------------------------------------------------------------------------------------------------------------------------

create function mcp.is_alive(lease mcp.agent_leases, keeper mcp.lease_keepers, at timestamptz) returns boolean
language sql stable parallel safe as $$
  select coalesce(lease.lapsed_at is null and (
    lease.lease_expires_at > at
    -- its keeper is silent: nobody could have taken its heartbeats
    or (keeper.stopped_at is null and at > keeper.last_beat + interval '3 seconds' and at < keeper.last_beat + mcp.longest_outage()
        and lease.lease_expires_at > keeper.last_beat and lease.last_health_check <= keeper.last_beat + interval '10 seconds')
    -- its keeper is back, or was and fell silent again within the grace, and the instance has not been heard since
    or ((at < keeper.outage_ended + mcp.lease_grace()
         or keeper.stopped_at is null and keeper.last_beat < keeper.outage_ended + mcp.lease_grace()
            and at < keeper.last_beat + mcp.longest_outage())
        and lease.lease_expires_at > keeper.outage_began and lease.last_health_check <= keeper.outage_ended)
  ), false)
$$;
comment on function mcp.is_alive is
  'The lease lives, or it lived when its keeper fell silent and the instance has not been heard since (ten seconds: a keeper takes heartbeats again before it writes its own row again), until mcp.lease_grace() after the keeper was back for good. Without a keeper the lease alone decides. Inlined: pass `at` as a variable or statement_timestamp()';

create function mcp.oldest_live_bin(at timestamptz) returns timestamptz language sql stable parallel safe as $$
  select date_bin('5 minutes', least(at, (
    select min(case when least(at, k.last_beat) < k.outage_ended + mcp.lease_grace() then least(k.outage_began, k.last_beat) else k.last_beat end)
      from mcp.lease_keepers k
     where k.stopped_at is null and at < k.last_beat + mcp.longest_outage() or at < k.outage_ended + mcp.lease_grace())),
    '2000-01-01 00:00:00+00')
$$;
comment on function mcp.oldest_live_bin is 'No lease of an earlier lease_bin can be alive';

create view mcp.agent_liveness with (security_invoker = true) as
  select l.registration_id, l.tenant_id, l.manifest_id, l.epoch, l.lease_expires_at, mcp.is_alive(l, k, statement_timestamp()) as alive
    from mcp.agent_leases l
    left join mcp.lease_keepers k on k.id = l.keeper_id;

create function mcp.agent_registrations_at(at timestamptz)
returns table (
  id uuid, manifest_id uuid, tenant_id uuid, instance_id text, agent_id text, name text, agent_type text, version text,
  capabilities text[], tags text[], zone text, registration_status text, health_status text, status_reason text,
  last_health_check timestamptz, connection_details jsonb, runtime_config jsonb, epoch bigint, workload integer, load jsonb,
  metrics jsonb, lease_expires_at timestamptz, registered_by text, registered_at timestamptz, connected_at timestamptz,
  updated_at timestamptz, version_key text
) language sql stable as $$
  select i.id, i.manifest_id, i.tenant_id, i.instance_id, i.agent_id, i.name, i.agent_type, i.version,
         i.capabilities, i.tags, i.zone,
         case when mcp.is_alive(l, k, at) then i.registration_status else 'inactive' end,
         case when mcp.is_alive(l, k, at) then l.health_status else 'stale' end,
         i.status_reason, coalesce(l.last_health_check, i.last_seen_at), i.connection_details, i.runtime_config, i.epoch,
         coalesce(l.workload, 0), coalesce(l.load, '{}'), coalesce(l.metrics, '{}'), l.lease_expires_at,
         i.registered_by, i.registered_at, i.connected_at, i.updated_at, i.version_key
    from mcp.agent_instances i
    left join mcp.agent_leases l on l.registration_id = i.id
    left join mcp.lease_keepers k on k.id = l.keeper_id
$$;
comment on function mcp.agent_registrations_at is 'mcp.agent_registrations as it reads at a moment, from what is stored now';

create view mcp.agent_registrations with (security_invoker = true) as
  select id, manifest_id, tenant_id, instance_id, agent_id, name, agent_type, version, capabilities, tags, zone,
         registration_status, health_status, status_reason, last_health_check, connection_details, runtime_config, epoch,
         workload, load, metrics, lease_expires_at, registered_by, registered_at, connected_at, updated_at, version_key
    from mcp.agent_registrations_at(statement_timestamp());
comment on view mcp.agent_registrations is
  'The truth at the moment it is read: without a living lease registration_status is inactive and health_status stale, swept or not';

-- Row-level security ---------------------------------------------------------------------------------------------------------------

do $$
declare
  v_table text;
begin
  foreach v_table in array array['agent_manifests', 'agent_configurations', 'agent_instances', 'agent_terms', 'agent_leases',
                                 'lease_keepers', 'lease_pace', 'agent_brakes'] loop
    execute format('alter table mcp.%I enable row level security', v_table);
    execute format('alter table mcp.%I force row level security', v_table);
    execute format('grant select, insert, update, delete on mcp.%I to agenthall_system', v_table);
    execute format('create policy everything on mcp.%I to agenthall_system using (true) with check (true)', v_table);
  end loop;
  foreach v_table in array array['agent_configurations', 'agent_instances', 'agent_terms', 'agent_leases', 'agent_brakes'] loop
    execute format('create policy own on mcp.%I to agenthall_app using (tenant_id = (select mcp.current_tenant()))
                    with check (tenant_id = (select mcp.current_tenant()))', v_table);
  end loop;
end $$;

grant select, insert, update, delete on mcp.agent_configurations, mcp.agent_instances, mcp.agent_terms, mcp.agent_leases to agenthall_app;
grant select on mcp.agent_manifests, mcp.agent_brakes, mcp.lease_keepers, mcp.lease_pace, mcp.agent_liveness, mcp.agent_registrations
  to agenthall_app;
grant select on mcp.agent_liveness, mcp.agent_registrations to agenthall_system;
grant insert (id, agent_id) on mcp.agent_manifests to agenthall_app;
create policy named on mcp.agent_manifests for insert to agenthall_app with check (true);
create policy visible on mcp.agent_manifests for select to agenthall_app using (
  published or exists (
    select from mcp.agent_configurations c
     where c.tenant_id = (select mcp.current_tenant()) and c.manifest_id = agent_manifests.id));
create policy everybody on mcp.lease_keepers for select to agenthall_app using (true);
create policy everybody on mcp.lease_pace for select to agenthall_app using (true);

-- Another tenant may have made the manifest, and then row-level security hides it: only its id is told. With the rights of
-- agenthall_system, never with those of whoever migrates.
create function mcp.manifest_id_for(agent_id text) returns uuid
language sql stable security definer set search_path = pg_catalog, pg_temp as
$$ select m.id from mcp.agent_manifests m where m.agent_id = manifest_id_for.agent_id $$;
revoke execute on function mcp.manifest_id_for from public;
grant execute on function mcp.manifest_id_for to agenthall_app, agenthall_system;
grant create on schema mcp to agenthall_system;
alter function mcp.manifest_id_for owner to agenthall_system;
revoke create on schema mcp from agenthall_system;
