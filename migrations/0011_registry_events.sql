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

-- What readers must not see -----------------------------------------------------------------------------------------------------------
-- A name is a secret's when it has one of some words in it, or ends in one that means a secret only there (key, pass, pat). It errs on the
-- safe side; what is known to be none, and useful to readers, is left out of the words: public_key, max_tokens, author.

create function mcp.ends_in_key(name text) returns boolean language sql immutable parallel safe as $$
  select (name ~* '(^|[^[:alnum:]])keys?[_-]?[0-9]*$' or name ~ '[[:alnum:]]Keys?[_-]?[0-9]*$'
       or name ~* '(ssh|account|encryption|signing|master|shared|session|storage|service|subscription|license|deploy)keys?[0-9]*$')
     and name !~* '(public|publishable|primary|foreign|partition|sort)[^[:alnum:]]?keys?[_-]?[0-9]*$'
$$;
comment on function mcp.ends_in_key is 'key, ssh_key, accountKey, KEY_2, ENCRYPTION-KEY; not keyboard, key_id, monkey, nor what names its kind of key as one that everybody may see';

create function mcp.is_secret_name(name text) returns boolean language sql immutable parallel safe as $$
  select name ~* 'pass|pwd|secret|token|key|auth|bearer|jwt|credential|creds|cookie|dsn|signature|(pat|pw|sig)$' and ( -- most names are none
         name ~* 'passw|pass[_-]?(phrase|code|key)|pwd|secret|authorization|auth(?!or)|bearer|jwt|credential|cookie|dsn|signature|(api|access|private)[_-]?key'
      or name ~* 'token(?!s|i[sz]|[_-]?(limit|budget|count|usage))|(?<!(max|min|num|total|prompt|completion|input|output|new|cached|reasoning|thinking|context)[_-]?)tokens(?![_-]?per)'
      or name ~* '(?<!(by|com|over|under|tres|sur))pass[_-]?[0-9]*$' or name ~* '(^|[^[:alnum:]])(pat|pw|sig|creds)$' or name ~ '[[:alnum:]]Pat$'
      or mcp.ends_in_key(name))
$$;

create function mcp.without_assignments(line text) returns text language sql immutable as $$
  select case when line !~ '=' then line else (select string_agg(
           case when mcp.is_secret_name(btrim(substring(p.piece from '^[?&#;,[:space:]]*([^=]*)=')))
             then regexp_replace(p.piece, '=.*$', '=[secret]') else p.piece end, '' order by p.position)
    from regexp_split_to_table(line, case when line ~ '://' then '(?=#|' else '(?=' end || '[?&#;,[:space:]][^=?&#;,[:space:]]+[[:space:]]*=)')
           with ordinality as p (piece, position)) end
$$;
comment on function mcp.without_assignments is
  'Parameters of an address, members of a connection string: name=value, where the name is a secret''s. A value ends where the next name begins, or an address its fragment';

create function mcp.line_without_secrets(line text) returns text language sql immutable as $$
  select case
    when line !~ '[=:@[:space:]]' then line
    when line ~ '-----BEGIN [A-Z ]*PRIVATE KEY-----' then '[secret]'
    when mcp.is_secret_name(substring(line from '^[[:space:]]*([[:alnum:]_.-]+)[[:space:]]*:(?!//)')) then regexp_replace(line, ':.*$', ': [secret]')
    else mcp.without_assignments(regexp_replace(regexp_replace(regexp_replace(line,
           '://[^/?#]*@', '://[secret]@', 'g'),
           '((?:authorization|cookie)["'']?[[:space:]]*:[[:space:]]*).*$', '\1[secret]', 'i'),
           '(\mbearer[[:space:]]+)[^[:space:]"'',;]+', '\1[secret]', 'gi'))
  end
$$;
comment on function mcp.line_without_secrets is
  'A header, an address, a connection string, a key: what of it is secret is struck out. RFC 3986, section 3.2: the authority ends at the first / ? #';

create function mcp.without_secrets(document jsonb) returns jsonb language plpgsql immutable as $$
declare
  v_is_of_secret boolean;
begin
  case jsonb_typeof(document)
    when 'object' then
      v_is_of_secret := coalesce(mcp.is_secret_name(coalesce(document ->> 'name', document ->> 'key')), false); -- {"name": …, "value": …}
      return (select coalesce(jsonb_object_agg(e.key, case
                       when mcp.is_secret_name(e.key) or v_is_of_secret and e.key = 'value' then '"[secret]"'
                       else mcp.without_secrets(e.value) end), '{}')
                from jsonb_each(document) e);
    when 'array' then
      return (select coalesce(jsonb_agg(mcp.without_secrets(e.value) order by e.ordinality), '[]')
                from jsonb_array_elements(document) with ordinality e);
    when 'string' then
      return to_jsonb(coalesce(mcp.line_without_secrets(document #>> '{}'), ''));
    else
      return document;
  end case;
end $$;
comment on function mcp.without_secrets is 'The document; what is named like a secret, and what strings hold of secrets, is struck out';

create function mcp.may_hold_secrets(connection_details jsonb, runtime_config jsonb) returns boolean language plpgsql immutable parallel safe as $$
begin
  return (connection_details::text || runtime_config::text)
         ~* 'pass|pwd|secret|token|key|auth|bearer|jwt|credential|creds|cookie|dsn|signature|(pat|pw|sig)["=:\\[:space:]]|://[^/?#]*@';
end $$;
comment on function mcp.may_hold_secrets is
  'A cheap look: whatever is_secret_name and line_without_secrets strike out must be seen by it. Who changes it has agent_instances rewritten';

alter table mcp.agent_instances add column may_hold_secrets boolean not null
  generated always as (mcp.may_hold_secrets(connection_details, runtime_config)) stored;

create function mcp.public_instance(instance jsonb) returns jsonb language sql immutable as $$
  select instance - array['version_key', 'may_hold_secrets'] || case
    when mcp.may_hold_secrets(instance -> 'connection_details', instance -> 'runtime_config')
      then jsonb_build_object('connection_details', mcp.without_secrets(instance -> 'connection_details'),
                              'runtime_config', mcp.without_secrets(instance -> 'runtime_config'))
    else '{}' end
$$;

create function mcp.shown_moments(
  last_health_check timestamptz, lease_expires_at timestamptz, registered_at timestamptz, connected_at timestamptz, updated_at timestamptz
) returns jsonb language sql stable as $$
  select jsonb_build_object('last_health_check', agenthall.iso($1), 'lease_expires_at', agenthall.iso($2),
                            'registered_at', agenthall.iso($3), 'connected_at', agenthall.iso($4), 'updated_at', agenthall.iso($5))
$$;
comment on function mcp.shown_moments is
  'As the API writes them, with six digits: to_jsonb leaves the last zeros out, which not every reader of RFC 3339 takes (Python before 3.11)';

create function mcp.record_agent_events(kind text, registration_ids uuid[], at timestamptz) returns void
language plpgsql as $$
begin
  insert into mcp.agent_event_inbox (tenant_id, registration_id, agent_id, kind, instance, at)
  select r.tenant_id, r.id, r.agent_id, record_agent_events.kind, mcp.public_instance(to_jsonb(r) || mcp.shown_moments(
           r.last_health_check, r.lease_expires_at, r.registered_at, r.connected_at, r.updated_at)), record_agent_events.at
    from unnest(registration_ids) as changed (id)
   cross join lateral ( -- one by one: a plan for all of them may read the whole tenant
     select found.* from mcp.agent_registrations_at(record_agent_events.at) found where found.id = changed.id
     offset 0) as r
   order by r.id;
end $$;

create function mcp.record_deleted_instances() returns trigger language plpgsql as $$
begin
  insert into mcp.agent_event_inbox (tenant_id, registration_id, agent_id, kind, instance, at)
  select g.tenant_id, g.id, g.agent_id, 'deleted', mcp.public_instance(
           to_jsonb(g) - array['idempotency_key', 'ended_at', 'last_seen_at'] || jsonb_build_object(
             'registration_status', 'inactive', 'health_status', 'stale', 'workload', 0, 'load', '{}'::jsonb, 'metrics', '{}'::jsonb)
           || mcp.shown_moments(g.last_seen_at, null, g.registered_at, g.connected_at, g.updated_at)), clock_timestamp()
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
  perform pg_advisory_xact_lock(7168880, 3); -- not the publisher's: neither waits for the other but for the update
  select greatest(l.lowest, l.last - keep_rows + 1,
                  coalesce((select e.position from mcp.agent_events e where e.at > v_now - keep order by e.position limit 1), l.last + 1))
    into v_lowest from mcp.agent_event_log l;
  delete from mcp.agent_events e where e.position < v_lowest;
  update mcp.agent_event_log l set lowest = v_lowest where l.lowest < v_lowest;
  return (select l.lowest from mcp.agent_event_log l);
end $$;
comment on function mcp.compact_agent_events is 'Forgets events older than `keep`, and all but the last keep_rows; the lowest position still there.';
