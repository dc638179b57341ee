-- What happened to instances, in an order that everybody sees alike, to be followed and resumed.
--
-- Rules
--   1. Whoever changes an instance puts an event into the inbox, in the same transaction. Ids there are given before the commit and
--      become visible in any order: nobody reads the inbox but the publisher.
--   2. One publisher at a time moves the inbox to the log. Positions are consecutive, and visible in their order: who has read up to a
--      position has missed nothing before it. Two events of one registration keep their order: the second waited for the first's commit.
--   3. NOTIFY agent_events: an empty payload says that the inbox has something, a number is the last position published.
create table mcp.agent_event_inbox (
  id              bigint generated always as identity primary key,
  tenant_id       uuid not null,
  registration_id uuid not null,
  agent_id        text not null,
  kind            text not null,
  instance        jsonb not null,
  at              timestamptz not null,
  constraint agent_event_inbox_kind check (kind in ('registered', 'reconnected', 'updated', 'health', 'draining', 'deregistered',
    'disconnected', 'stale', 'revived', 'inactive', 'deleted'))
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);

create table mcp.agent_events (
  position        bigint primary key,
  tenant_id       uuid not null,
  registration_id uuid not null,
  agent_id        text not null,
  kind            text not null,
  instance        jsonb not null,
  at              timestamptz not null,
  constraint agent_events_kind check (kind in ('registered', 'reconnected', 'updated', 'health', 'draining', 'deregistered',
    'disconnected', 'stale', 'revived', 'inactive', 'deleted'))
);
comment on column mcp.agent_events.instance is 'the row of mcp.agent_registrations at that moment, secrets struck out';
create index agent_events_tenant on mcp.agent_events (tenant_id, position);

create table mcp.agent_event_log (
  singleton boolean primary key default true check (singleton),
  lowest    bigint not null default 1,
  last      bigint not null default 0
);
comment on table mcp.agent_event_log is
  'lowest: the first position still there (last + 1: none). Who has read up to p may go on when p >= lowest - 1, and must list again otherwise';
insert into mcp.agent_event_log default values;

do $$
declare
  v_table text;
begin
  foreach v_table in array array['agent_event_inbox', 'agent_events', 'agent_event_log'] loop
    execute format('alter table mcp.%I enable row level security', v_table);
    execute format('alter table mcp.%I force row level security', v_table);
    execute format('grant select, insert, update, delete on mcp.%I to agenthall_system', v_table);
    execute format('create policy everything on mcp.%I to agenthall_system using (true) with check (true)', v_table);
  end loop;
end $$;
grant insert on mcp.agent_event_inbox to agenthall_app;
grant select on mcp.agent_events, mcp.agent_event_log to agenthall_app;
create policy own on mcp.agent_event_inbox for insert to agenthall_app with check (tenant_id = (select mcp.current_tenant()));
create policy own on mcp.agent_events for select to agenthall_app using (tenant_id = (select mcp.current_tenant()));
create policy everybody on mcp.agent_event_log for select to agenthall_app using (true);

create function mcp.is_secret_name(name text) returns boolean language sql immutable parallel safe as
$$ select name ~* 'passw|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|authorization|auth(?!or)|bearer|jwt|credential|private[_-]?key|cookie|dsn|signature' $$;

create function mcp.without_secrets(document jsonb) returns jsonb language plpgsql immutable as $$
begin
  case jsonb_typeof(document)
    when 'object' then
      return (select coalesce(jsonb_object_agg(e.key, case when mcp.is_secret_name(e.key) then '"[secret]"' else mcp.without_secrets(e.value) end), '{}')
                from jsonb_each(document) e);
    when 'array' then
      return (select coalesce(jsonb_agg(mcp.without_secrets(e.value) order by e.ordinality), '[]')
                from jsonb_array_elements(document) with ordinality e);
    when 'string' then
      return to_jsonb(regexp_replace(regexp_replace(document #>> '{}', '://[^/@[:space:]]*@', '://[secret]@', 'g'),
        '([?&](?:sig|key|[^=&#[:space:]]*(?:passw|secret|token|api[_-]?key|access[_-]?key|auth|jwt|credential|signature)[^=&#[:space:]]*)=)[^&#[:space:]]*', '\1[secret]', 'gi'));
    else
      return document;
  end case;
end $$;
comment on function mcp.without_secrets is 'The document; what is named like a secret, and credentials in URLs, are struck out';

create function mcp.public_instance(instance jsonb) returns jsonb language sql immutable as $$
  select instance - 'version_key' || case
    when instance::text ~* 'passw|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|authorization|auth(?!or)|bearer|jwt|credential|private[_-]?key|cookie|dsn|signature|[?&](sig|key)=|://[^/@[:space:]]*@'
      then jsonb_build_object('connection_details', mcp.without_secrets(instance -> 'connection_details'),
                              'runtime_config', mcp.without_secrets(instance -> 'runtime_config'))
    else '{}' end
$$;

create function mcp.record_agent_events(kind text, registration_ids uuid[], at timestamptz) returns void
language plpgsql set timezone = 'UTC' as $$
begin
  insert into mcp.agent_event_inbox (tenant_id, registration_id, agent_id, kind, instance, at)
  select r.tenant_id, r.id, r.agent_id, record_agent_events.kind, mcp.public_instance(to_jsonb(r)), record_agent_events.at
    from mcp.agent_registrations_at(record_agent_events.at) r
   where r.id = any (registration_ids)
   order by r.id;
end $$;

create function mcp.record_deleted_instances() returns trigger language plpgsql set timezone = 'UTC' as $$
begin
  insert into mcp.agent_event_inbox (tenant_id, registration_id, agent_id, kind, instance, at)
  select g.tenant_id, g.id, g.agent_id, 'deleted', mcp.public_instance(
           to_jsonb(g) - array['idempotency_key', 'ended_at', 'last_seen_at'] || jsonb_build_object(
             'registration_status', 'inactive', 'health_status', 'stale', 'last_health_check', g.last_seen_at, 'workload', 0,
             'load', '{}'::jsonb, 'metrics', '{}'::jsonb, 'lease_expires_at', null)), clock_timestamp()
    from gone g
   order by g.id;
  return null;
end $$;
create trigger record_deleted_instances after delete on mcp.agent_instances referencing old table as gone
  for each statement execute function mcp.record_deleted_instances();

create function mcp.ring_for_agent_events() returns trigger language plpgsql as $$
begin
  if coalesce(current_setting('mcp.ring', true), '') <> 'off' and exists (select from added) then
    perform pg_notify('agent_events', ''); -- PostgreSQL sends equal ones of a transaction once
  end if;
  return null;
end $$;
comment on function mcp.ring_for_agent_events is
  'A NOTIFY makes transactions commit one after the other. The server''s own pools set mcp.ring = off and publish after the commit';
create trigger ring_for_agent_events after insert on mcp.agent_event_inbox referencing new table as added
  for each statement execute function mcp.ring_for_agent_events();

create function mcp.publish_agent_events(max integer default 1000) returns bigint language plpgsql as $$
declare
  v_last  bigint;
  v_count bigint := 0;
begin
  if pg_try_advisory_xact_lock(7168880, 2) then
    select l.last into v_last from mcp.agent_event_log l; -- after the lock: so it is what the last publisher left
    with taken as (
      delete from mcp.agent_event_inbox i where i.id = any (array(
        select n.id from mcp.agent_event_inbox n order by n.id limit publish_agent_events.max))
      returning i.id, i.tenant_id, i.registration_id, i.agent_id, i.kind, i.instance, i.at),
    placed as (
      insert into mcp.agent_events (position, tenant_id, registration_id, agent_id, kind, instance, at)
      select v_last + row_number() over (order by t.id), t.tenant_id, t.registration_id, t.agent_id, t.kind, t.instance, t.at from taken t)
    select count(*) into v_count from taken;
  end if;
  if v_count > 0 then
    update mcp.agent_event_log l set last = v_last + v_count;
    perform pg_notify('agent_events', (v_last + v_count)::text);
  end if;
  return (select l.last from mcp.agent_event_log l);
end $$;
comment on function mcp.publish_agent_events is
  'Moves at most `max` events to the log; the last position. While another one publishes it only answers what it sees. As agenthall_system or the owner.';

create function mcp.compact_agent_events(keep interval default '1 hour', keep_rows bigint default 100000, now timestamptz default null)
returns bigint language plpgsql as $$
declare
  v_now    timestamptz := coalesce(compact_agent_events.now, clock_timestamp());
  v_lowest bigint;
begin
  if pg_try_advisory_xact_lock(7168880, 2) then
    select greatest(l.lowest, l.last - keep_rows + 1,
                    coalesce((select e.position from mcp.agent_events e where e.at > v_now - keep order by e.position limit 1), l.last + 1))
      into v_lowest from mcp.agent_event_log l;
    delete from mcp.agent_events e where e.position < v_lowest;
    update mcp.agent_event_log l set lowest = v_lowest where l.lowest < v_lowest;
  end if;
  return (select l.lowest from mcp.agent_event_log l);
end $$;
comment on function mcp.compact_agent_events is 'Forgets events older than `keep`, and all but the last keep_rows; the lowest position still there.';
