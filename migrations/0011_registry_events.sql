-- Create the log of instance events. All readers see the events in one order, and a reader can resume at a position.
--
-- Rules
--   1. A function that changes an instance inserts an event into the inbox in the same transaction. Ids in the inbox
--      are assigned before the commit and become visible in any order, so only the publisher reads the inbox.
--   2. One publisher at a time moves events from the inbox to the log. Positions are consecutive and become visible in
--      order, so a reader that has read up to a position has missed nothing before it. Two events of one registration
--      keep their order, because the second transaction waited for the first to commit.
--   3. NOTIFY agent_events: an empty payload means that the inbox has events; a number is the last position published.
create table mcp.agent_event_inbox (
  id              bigint generated always as identity primary key,
  tenant_id       uuid not null,
  registration_id uuid not null,
  agent_id        text not null,
  kind            text not null,
  instance        jsonb not null,
  at              timestamptz not null,
  constraint agent_event_inbox_kind check (kind in (
    'registered', 'reconnected', 'updated', 'health', 'draining', 'deregistered', 'disconnected', 'stale', 'revived',
    'inactive', 'deleted'))
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);

create table mcp.agent_events (
  position        bigint primary key,
  tenant_id       uuid not null,
  registration_id uuid not null,
  agent_id        text not null,
  kind            text not null,
  instance        jsonb not null,
  at              timestamptz not null,
  constraint agent_events_kind check (kind in (
    'registered', 'reconnected', 'updated', 'health', 'draining', 'deregistered', 'disconnected', 'stale', 'revived',
    'inactive', 'deleted'))
);
comment on table mcp.agent_event_inbox is
  'Events that are not published yet. Only mcp.publish_agent_events() reads it.';
comment on table mcp.agent_events is 'The published events of instances, in the order of position.';
comment on column mcp.agent_events.instance is 'row of mcp.agent_registrations at that moment, with secrets redacted';
create index agent_events_tenant on mcp.agent_events (tenant_id, position);

create table mcp.agent_event_log (
  singleton boolean primary key default true check (singleton),
  lowest    bigint not null default 1,
  last      bigint not null default 0
);
comment on table mcp.agent_event_log is
  'One row: the range of positions in mcp.agent_events. A reader that has read up to position p can continue if p >= '
  'lowest - 1. Otherwise it must list the instances again.';
comment on column mcp.agent_event_log.lowest is 'first position that is still kept; last + 1 if none is';
comment on column mcp.agent_event_log.last is 'last position published';
insert into mcp.agent_event_log default values;

do $$
declare
  v_table text;
begin
  foreach v_table in array array['agent_event_inbox', 'agent_events', 'agent_event_log'] loop
    execute format('alter table mcp.%I enable row level security', v_table);
    execute format('alter table mcp.%I force row level security', v_table);
    execute format('grant select, insert, update, delete on mcp.%I to agenthall_system', v_table);
    execute format('create policy system_all on mcp.%I to agenthall_system using (true) with check (true)', v_table);
  end loop;
end $$;
grant insert on mcp.agent_event_inbox to agenthall_app;
grant select on mcp.agent_events, mcp.agent_event_log to agenthall_app;
create policy insert_own on mcp.agent_event_inbox for insert to agenthall_app
  with check (tenant_id = (select mcp.current_tenant()));
create policy select_own on mcp.agent_events for select to agenthall_app
  using (tenant_id = (select mcp.current_tenant()));
create policy select_all on mcp.agent_event_log for select to agenthall_app using (true);

-- Redaction of secrets ------------------------------------------------------------------------------------------------

-- A name is the name of a secret if it contains certain words, or ends in a word that means a secret only there (key,
-- pass, pat). The rules redact too much rather than too little. Names that are known to be harmless and useful to
-- readers are excluded: public_key, max_tokens, author.

create function mcp.ends_in_key(name text) returns boolean language sql immutable parallel safe as $$
  select (name ~* '(^|[^[:alnum:]])keys?[_-]?[0-9]*$' or name ~ '[[:alnum:]]Keys?[_-]?[0-9]*$'
       or name ~* '(ssh|account|encryption|signing|master|shared|session|storage|service|subscription|license|deploy)'
                  'keys?[0-9]*$')
     and name !~* '(public|publishable|primary|foreign|partition|sort)[^[:alnum:]]?keys?[_-]?[0-9]*$'
$$;
comment on function mcp.ends_in_key is
  'Return whether a name ends in the word key: key, ssh_key, accountKey, KEY_2, ENCRYPTION-KEY. It is false for '
  'keyboard, key_id and monkey, and for keys that are public: public_key, primary_key.';

create function mcp.is_secret_name(name text) returns boolean language sql immutable parallel safe as $$
  -- The first pattern is a fast filter: most names are not names of secrets.
  select name ~* 'pass|pwd|secret|token|key|auth|bearer|jwt|credential|creds|cookie|dsn|signature|(pat|pw|sig)$' and (
         name ~* 'passw|pass[_-]?(phrase|code|key)|pwd|secret|authorization|auth(?!or)|bearer|jwt|credential|cookie|dsn'
                 '|signature|(api|access|private)[_-]?key'
      or name ~* 'token(?!s|i[sz]|[_-]?(limit|budget|count|usage))'
                 '|(?<!(max|min|num|total|prompt|completion|input|output|new|cached|reasoning|thinking|context)[_-]?)'
                 'tokens(?![_-]?per)'
      or name ~* '(?<!(by|com|over|under|tres|sur))pass[_-]?[0-9]*$'
      or name ~* '(^|[^[:alnum:]])(pat|pw|sig|creds)$'
      or name ~ '[[:alnum:]]Pat$'
      or mcp.ends_in_key(name))
$$;
comment on function mcp.is_secret_name is 'Return whether a member, parameter or header of this name holds a secret.';

create function mcp.redact_assignments(line text) returns text language sql immutable as $$
  select case when line !~ '=' then line else (select string_agg(
           case when mcp.is_secret_name(btrim(substring(p.piece from '^[?&#;,[:space:]]*([^=]*)=')))
             then regexp_replace(p.piece, '=.*$', '=[secret]') else p.piece end, '' order by p.position)
    from regexp_split_to_table(
           line,
           case when line ~ '://' then '(?=#|' else '(?=' end || '[?&#;,[:space:]][^=?&#;,[:space:]]+[[:space:]]*=)')
           with ordinality as p (piece, position)) end
$$;
comment on function mcp.redact_assignments is
  'Redact each name=value whose name is a secret''s, as in parameters of a URL or members of a connection string. A '
  'value ends where the next name begins, or where the fragment of a URL begins.';

create function mcp.redact_line(line text) returns text language sql immutable as $$
  select case
    when line !~ '[=:@[:space:]]' then line
    when line ~ '-----BEGIN [A-Z ]*PRIVATE KEY-----' then '[secret]'
    when mcp.is_secret_name(substring(line from '^[[:space:]]*([[:alnum:]_.-]+)[[:space:]]*:(?!//)'))
      then regexp_replace(line, ':.*$', ': [secret]')
    else mcp.redact_assignments(regexp_replace(regexp_replace(regexp_replace(line,
           '://[^/?#]*@', '://[secret]@', 'g'),
           '((?:authorization|cookie)["'']?[[:space:]]*:[[:space:]]*).*$', '\1[secret]', 'i'),
           '(\mbearer[[:space:]]+)[^[:space:]"'',;]+', '\1[secret]', 'gi'))
  end
$$;
comment on function mcp.redact_line is
  'Redact the secrets in a header, a URL, a connection string or a private key. The authority of a URL ends at the '
  'first / ? or # (RFC 3986, section 3.2).';

create function mcp.redact_secrets(document jsonb) returns jsonb language plpgsql immutable as $$
declare
  v_is_of_secret boolean;
begin
  case jsonb_typeof(document)
    when 'object' then
      -- {"name": …, "value": …}
      v_is_of_secret := coalesce(mcp.is_secret_name(coalesce(document ->> 'name', document ->> 'key')), false);
      return (select coalesce(jsonb_object_agg(e.key, case
                       when mcp.is_secret_name(e.key) or v_is_of_secret and e.key = 'value' then '"[secret]"'
                       else mcp.redact_secrets(e.value) end), '{}')
                from jsonb_each(document) e);
    when 'array' then
      return (select coalesce(jsonb_agg(mcp.redact_secrets(e.value) order by e.ordinality), '[]')
                from jsonb_array_elements(document) with ordinality e);
    when 'string' then
      return to_jsonb(coalesce(mcp.redact_line(document #>> '{}'), ''));
    else
      return document;
  end case;
end $$;
comment on function mcp.redact_secrets is
  'Return the document with [secret] in place of each value whose name is a secret''s and each secret within a string.';

create function mcp.may_hold_secrets(connection_details jsonb, runtime_config jsonb) returns boolean
language plpgsql immutable parallel safe as $$
begin
  return (connection_details::text || runtime_config::text)
         ~* 'pass|pwd|secret|token|key|auth|bearer|jwt|credential|creds|cookie|dsn|signature'
            '|(pat|pw|sig)["=:\\[:space:]]|://[^/?#]*@';
end $$;
comment on function mcp.may_hold_secrets is
  'Return whether redaction may be necessary; a fast test. It must be true for everything that is_secret_name and '
  'redact_line redact. A migration that changes it must rewrite mcp.agent_instances, which stores its result.';

alter table mcp.agent_instances add column may_hold_secrets boolean not null
  generated always as (mcp.may_hold_secrets(connection_details, runtime_config)) stored;

create function mcp.public_instance(instance jsonb) returns jsonb language sql immutable as $$
  select instance - array['version_key', 'may_hold_secrets'] || case
    when mcp.may_hold_secrets(instance -> 'connection_details', instance -> 'runtime_config')
      then jsonb_build_object('connection_details', mcp.redact_secrets(instance -> 'connection_details'),
                              'runtime_config', mcp.redact_secrets(instance -> 'runtime_config'))
    else '{}' end
$$;
comment on function mcp.public_instance is
  'Return a row of mcp.agent_registrations as clients see it: without internal columns and with secrets redacted.';

create function mcp.iso_timestamps(
  last_health_check timestamptz, lease_expires_at timestamptz, registered_at timestamptz, connected_at timestamptz,
  updated_at timestamptz
) returns jsonb language sql stable as $$
  select jsonb_build_object('last_health_check', agenthall.iso($1), 'lease_expires_at', agenthall.iso($2),
                            'registered_at', agenthall.iso($3), 'connected_at', agenthall.iso($4),
                            'updated_at', agenthall.iso($5))
$$;
comment on function mcp.iso_timestamps is
  'Format an instance''s timestamps as the API writes them, with six digits. to_jsonb drops trailing zeros, which some '
  'parsers of RFC 3339 reject (Python before 3.11).';

create function mcp.record_agent_events(kind text, registration_ids uuid[], at timestamptz) returns void
language plpgsql as $$
begin
  insert into mcp.agent_event_inbox (tenant_id, registration_id, agent_id, kind, instance, at)
  select r.tenant_id, r.id, r.agent_id, record_agent_events.kind,
         mcp.public_instance(to_jsonb(r) || mcp.iso_timestamps(
           r.last_health_check, r.lease_expires_at, r.registered_at, r.connected_at, r.updated_at)),
         record_agent_events.at
    from unnest(registration_ids) as changed (id)
   cross join lateral ( -- look up each id by itself: a plan for all of them may read the whole tenant
     select found.* from mcp.agent_registrations_at(record_agent_events.at) found where found.id = changed.id
     offset 0) as r
   order by r.id;
end $$;
comment on function mcp.record_agent_events is
  'Insert an event of this kind into the inbox for each of these instances.';

create function mcp.record_deleted_instances() returns trigger language plpgsql as $$
begin
  insert into mcp.agent_event_inbox (tenant_id, registration_id, agent_id, kind, instance, at)
  select d.tenant_id, d.id, d.agent_id, 'deleted', mcp.public_instance(
           to_jsonb(d) - array['idempotency_key', 'ended_at', 'last_seen_at'] || jsonb_build_object(
             'registration_status', 'inactive', 'health_status', 'stale', 'workload', 0, 'load', '{}'::jsonb,
             'metrics', '{}'::jsonb)
           || mcp.iso_timestamps(d.last_seen_at, null, d.registered_at, d.connected_at, d.updated_at)),
         clock_timestamp()
    from deleted_rows d
   order by d.id;
  return null;
end $$;
comment on function mcp.record_deleted_instances is
  'Insert an event of kind deleted for each instance that is deleted (trigger).';
create trigger record_deleted_instances after delete on mcp.agent_instances referencing old table as deleted_rows
  for each statement execute function mcp.record_deleted_instances();

create function mcp.notify_agent_events() returns trigger language plpgsql as $$
begin
  if coalesce(current_setting('mcp.notify_events', true), '') <> 'off' and exists (select from new_rows) then
    perform pg_notify('agent_events', ''); -- PostgreSQL sends equal notifications of a transaction once
  end if;
  return null;
end $$;
comment on function mcp.notify_agent_events is
  'Notify publishers of new events (trigger). Transactions with a NOTIFY commit one after the other, so the server''s '
  'pool sets mcp.notify_events = off and publishes after the commit.';
create trigger notify_agent_events after insert on mcp.agent_event_inbox referencing new table as new_rows
  for each statement execute function mcp.notify_agent_events();

create function mcp.publish_agent_events(max integer default 1000) returns bigint language plpgsql as $$
declare
  v_last  bigint;
  v_count bigint := 0;
begin
  if pg_try_advisory_xact_lock(7168880, 2) then
    select l.last into v_last from mcp.agent_event_log l; -- read under the lock, so no other publisher changes it
    with moved as (
      delete from mcp.agent_event_inbox i where i.id = any (array(
        select n.id from mcp.agent_event_inbox n order by n.id limit publish_agent_events.max))
      returning i.id, i.tenant_id, i.registration_id, i.agent_id, i.kind, i.instance, i.at),
    inserted as (
      insert into mcp.agent_events (position, tenant_id, registration_id, agent_id, kind, instance, at)
      select v_last + row_number() over (order by m.id), m.tenant_id, m.registration_id, m.agent_id, m.kind, m.instance,
             m.at
        from moved m)
    select count(*) into v_count from moved;
  end if;
  if v_count > 0 then
    update mcp.agent_event_log l set last = v_last + v_count;
    perform pg_notify('agent_events', (v_last + v_count)::text);
  end if;
  return (select l.last from mcp.agent_event_log l);
end $$;
comment on function mcp.publish_agent_events is
  'Move at most `max` events from the inbox to the log and return the last position. If another session is publishing, '
  'move nothing. Call it as agenthall_system or as the owner.';

create function mcp.compact_agent_events(
  keep interval default '1 hour', keep_rows bigint default 100000, now timestamptz default null
) returns bigint language plpgsql as $$
declare
  v_now    timestamptz := coalesce(compact_agent_events.now, clock_timestamp());
  v_lowest bigint;
begin
  -- This lock is not the publisher's, so the two wait for each other only to update agent_event_log.
  perform pg_advisory_xact_lock(7168880, 3);
  select greatest(l.lowest, l.last - keep_rows + 1,
                  coalesce((select e.position from mcp.agent_events e
                             where e.at > v_now - keep order by e.position limit 1), l.last + 1))
    into v_lowest from mcp.agent_event_log l;
  delete from mcp.agent_events e where e.position < v_lowest;
  update mcp.agent_event_log l set lowest = v_lowest where l.lowest < v_lowest;
  return (select l.lowest from mcp.agent_event_log l);
end $$;
comment on function mcp.compact_agent_events is
  'Delete events that are older than `keep`, and all but the last keep_rows. Return the lowest position that is left.';
