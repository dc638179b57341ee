-- Create the audit trail: who changed which row.
--
-- Rules
--   1. An entry is written by a trigger in the transaction of the change. A change that is rolled back leaves none, and
--      no entry is lost with a process.
--   2. No role of the server writes the table. Only the functions below do, as its owner.
--   3. Entries name the fields that changed, and never hold their values.
--   4. The actor is the principal that set_actor() or act_as() names, else the process of the server, else the login.
--   5. Runs, events of runs, heartbeats, checkpoints and items of the store write no entries. Triggers of tables that
--      these write have a WHEN condition that is false for them.
create table agenthall.audit_log (
  audit_id        bigint generated always as identity primary key,
  at              timestamptz not null default clock_timestamp(),
  organization_id uuid,
  actor           text not null,
  actor_kind      text not null,
  database_role   text not null default session_user,
  request_id      text,
  action          text not null,
  resource_type   text not null,
  resource_id     text not null,
  changed_fields  text[] not null default '{}',
  constraint audit_log_actor_kind check (actor_kind in ('principal', 'server', 'database'))
);
comment on table agenthall.audit_log is 'Audit trail, append-only. Triggers write it in the transaction of the change.';
comment on column agenthall.audit_log.organization_id is
  'organization of the resource; null: of none or of several, and only administrators see the entry';
comment on column agenthall.audit_log.actor is
  'identity of the principal; kind server: name of the process; kind database: the login of a session of SQL';
comment on column agenthall.audit_log.database_role is 'login of the session, which a session cannot forge';
comment on column agenthall.audit_log.changed_fields is 'names of the columns that an update changed';
create index audit_log_at on agenthall.audit_log (at, audit_id);
create index audit_log_organization on agenthall.audit_log (organization_id, at, audit_id);
create index audit_log_actor on agenthall.audit_log (actor, at, audit_id);
create index audit_log_resource on agenthall.audit_log (resource_id, at, audit_id);
create index audit_log_organization_actor on agenthall.audit_log (organization_id, actor, at, audit_id);
create index audit_log_organization_resource on agenthall.audit_log (organization_id, resource_id, at, audit_id);

alter table agenthall.audit_log enable row level security;
grant select on agenthall.audit_log to agenthall_app, agenthall_system;
create policy system_all on agenthall.audit_log for select to agenthall_system using (true);
create policy select_of_organization on agenthall.audit_log for select to agenthall_app using (
  (select agenthall.current_is_admin())
  or organization_id = any ((select agenthall.current_organizations())::uuid[])
  or (organization_id is not null and (select agenthall.current_has_every_organization())));

-- Append only -----------------------------------------------------------------------------------------------------

create function agenthall.refuse_audit_change() returns trigger language plpgsql as $$
begin
  if coalesce(current_setting('agenthall.audit_maintenance', true), '') <> 'on' then
    raise exception 'agenthall.audit_log is append-only' using errcode = 'insufficient_privilege',
      hint = 'agenthall.sweep_audit_log(keep, max_rows) deletes old entries.';
  end if;
  return null;
end $$;
create trigger refuse_change before update or delete or truncate on agenthall.audit_log
  for each statement execute function agenthall.refuse_audit_change();

create function agenthall.sweep_audit_log(p_keep interval, p_limit integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_deleted integer;
begin
  if p_keep < interval '1 day' then
    raise exception 'entries are kept for at least one day' using errcode = 'invalid_parameter_value';
  end if;
  perform set_config('agenthall.audit_maintenance', 'on', true);
  delete from agenthall.audit_log e
   where e.audit_id = any (array(
     select o.audit_id from agenthall.audit_log o where o.at < now() - p_keep order by o.at, o.audit_id limit p_limit));
  get diagnostics v_deleted = row_count;
  perform set_config('agenthall.audit_maintenance', '', true);
  return v_deleted;
end $$;
comment on function agenthall.sweep_audit_log is
  'Delete at most p_limit entries that are older than p_keep, the oldest first. Return how many.';
revoke execute on function agenthall.sweep_audit_log from public;
grant execute on function agenthall.sweep_audit_log to agenthall_system;

-- The actor ---------------------------------------------------------------------------------------------------------

create function agenthall.set_actor(p_actor text, p_request_id text) returns boolean language plpgsql volatile as $$
begin
  perform set_config('agenthall.actor', coalesce(p_actor, ''), true),
          set_config('agenthall.request_id', coalesce(p_request_id, ''), true);
  return true;
end $$;
comment on function agenthall.set_actor is
  'Name the actor of this transaction, and the request that it serves, for the audit trail. null: the server itself.';

create function agenthall.current_actor(out actor text, out kind text) language plpgsql stable as $$
begin
  actor := coalesce(nullif(current_setting('agenthall.actor', true), ''), agenthall.current_identity());
  kind := 'principal';
  if actor is null then
    if current_setting('role') in ('agenthall_app', 'agenthall_system')
       and current_setting('application_name') like 'agenthall%' then
      kind := 'server';
      actor := current_setting('application_name');
    else
      kind := 'database';
      actor := session_user;
    end if;
  end if;
end $$;
comment on function agenthall.current_actor is 'Return who changes rows in this transaction, by rule 4.';

-- Triggers ----------------------------------------------------------------------------------------------------------

create function agenthall.append_audit(
  p_action text, p_type text, p_id text, p_organization uuid, p_fields text[]
) returns void language plpgsql as $$
declare
  v_actor record := agenthall.current_actor();
begin
  insert into agenthall.audit_log (
    organization_id, actor, actor_kind, request_id, action, resource_type, resource_id, changed_fields)
  values (p_organization, v_actor.actor, v_actor.kind, nullif(current_setting('agenthall.request_id', true), ''),
          p_action, p_type, p_id, p_fields);
end $$;
revoke execute on function agenthall.append_audit from public;

create function agenthall.audit_change() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_old          jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
  v_row          jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) else v_old end;
  v_organization jsonb := v_row -> tg_argv[2];
  v_fields       text[] := '{}';
begin
  if tg_op = 'UPDATE' then
    v_fields := array(
      select key from jsonb_each(v_row) where value is distinct from v_old -> key
         and key <> all (string_to_array(tg_argv[4], ',')) order by key);
    if v_fields = '{}' then
      return null;
    end if;
  end if;
  perform agenthall.append_audit(
    tg_argv[0] || '.' || tg_argv[3], tg_argv[0], v_row ->> tg_argv[1],
    (case jsonb_typeof(v_organization)
       when 'string' then v_organization #>> '{}'
       when 'array' then case when jsonb_array_length(v_organization) = 1 then v_organization ->> 0 end
     end)::uuid,
    v_fields);
  return null;
end $$;
comment on function agenthall.audit_change is
  'Record the change of a row. Arguments: type of the resource; columns of its id and of its organizations; the verb; '
  'columns that an update may change without an entry, separated by commas.';

create trigger audit_create after insert on agenthall.assistants
  for each row when (pg_trigger_depth() < 1)
  execute function agenthall.audit_change('assistant', 'assistant_id', 'organization_id', 'create');
create trigger audit_update after update on agenthall.assistants
  for each row when (pg_trigger_depth() < 1 and old.retired_at is not distinct from new.retired_at)
  execute function agenthall.audit_change(
    'assistant', 'assistant_id', 'organization_id', 'update', 'version,updated_at,catalogue_hash,audience');
create trigger audit_retire after update on agenthall.assistants
  for each row when (pg_trigger_depth() < 1 and old.retired_at is null and new.retired_at is not null)
  execute function agenthall.audit_change(
    'assistant', 'assistant_id', 'organization_id', 'retire', 'version,updated_at,catalogue_hash,audience');
create trigger audit_restore after update on agenthall.assistants
  for each row when (pg_trigger_depth() < 1 and old.retired_at is not null and new.retired_at is null)
  execute function agenthall.audit_change(
    'assistant', 'assistant_id', 'organization_id', 'restore', 'version,updated_at,catalogue_hash,audience');
create trigger audit_delete after delete on agenthall.assistants
  for each row when (pg_trigger_depth() < 1)
  execute function agenthall.audit_change('assistant', 'assistant_id', 'organization_id', 'delete');

create trigger audit_create after insert on agenthall.api_keys
  for each row execute function agenthall.audit_change('api_key', 'prefix', 'organizations', 'create');
create trigger audit_update after update on agenthall.api_keys
  for each row when (old.last_used_at is not distinct from new.last_used_at
                     and (old.revoked_at is null) = (new.revoked_at is null))
  execute function agenthall.audit_change('api_key', 'prefix', 'organizations', 'update', '');
create trigger audit_revoke after update on agenthall.api_keys
  for each row when (old.revoked_at is null and new.revoked_at is not null)
  execute function agenthall.audit_change('api_key', 'prefix', 'organizations', 'revoke', '');
create trigger audit_delete after delete on agenthall.api_keys
  for each row execute function agenthall.audit_change('api_key', 'prefix', 'organizations', 'delete');

-- The manifest of an agent that an organization configures or registers first comes with that configuration.
create trigger audit_create after insert on mcp.agent_manifests
  for each row when (new.created_for is null)
  execute function agenthall.audit_change('manifest', 'agent_id', '', 'create');
create trigger audit_update after update on mcp.agent_manifests
  for each row execute function agenthall.audit_change('manifest', 'agent_id', '', 'update', 'updated_at');
create trigger audit_delete after delete on mcp.agent_manifests
  for each row when (pg_trigger_depth() < 1)
  execute function agenthall.audit_change('manifest', 'agent_id', '', 'delete');

create trigger audit_create after insert on mcp.agent_configurations
  for each row execute function agenthall.audit_change('configuration', 'agent_id', 'tenant_id', 'create');
create trigger audit_update after update on mcp.agent_configurations
  for each row execute function agenthall.audit_change(
    'configuration', 'agent_id', 'tenant_id', 'update', 'updated_at,claims_name');
create trigger audit_delete after delete on mcp.agent_configurations
  for each row execute function agenthall.audit_change('configuration', 'agent_id', 'tenant_id', 'delete');

-- An instance that drains or leaves by itself writes no entry: thousands may do so in a rollout.
create trigger audit_cordon after update on mcp.agent_instances
  for each row when (new.cordoned_at is not null
                     and (old.cordoned_at is null or old.cordon_reason is distinct from new.cordon_reason))
  execute function agenthall.audit_change('instance', 'id', 'tenant_id', 'cordon', 'updated_at');
create trigger audit_uncordon after update on mcp.agent_instances
  for each row when (old.cordoned_at is not null and new.cordoned_at is null)
  execute function agenthall.audit_change('instance', 'id', 'tenant_id', 'uncordon', 'updated_at');
create trigger audit_drain after update on mcp.agent_instances
  for each row when (
    old.registration_status = 'active' and new.registration_status = 'draining'
    and coalesce(current_setting('agenthall.actor', true), '') not in ('', coalesce(old.registered_by, '')))
  execute function agenthall.audit_change('instance', 'id', 'tenant_id', 'drain', 'updated_at');
create trigger audit_deregister after update on mcp.agent_instances
  for each row when (
    old.registration_status <> 'inactive' and new.registration_status = 'inactive'
    and coalesce(current_setting('agenthall.actor', true), '') not in ('', coalesce(old.registered_by, '')))
  execute function agenthall.audit_change(
    'instance', 'id', 'tenant_id', 'deregister', 'updated_at,ended_at,last_seen_at,idempotency_key');

create trigger audit_cancel after update on mcp.agent_jobs
  for each row when (old.cancel_reason is null and new.cancel_reason is not null
                     and coalesce(current_setting('agenthall.actor', true), '') <> '')
  execute function agenthall.audit_change(
    'job', 'id', 'tenant_id', 'cancel', 'registration_id,epoch,instance_id,holds_slot,ended_at,cancel_by');

-- A separate function, because a thread's last state is large, and its brake has no name of an agent.
create function agenthall.audit_thread() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  -- The end of a thread by its ttl is not the act of a person.
  if (agenthall.current_actor()).kind <> 'server' then
    perform agenthall.append_audit('thread.delete', 'thread', old.thread_id::text, old.organization_id, '{}');
  end if;
  return null;
end $$;
create trigger audit_delete after delete on agenthall.threads
  for each row when (not old.ephemeral) execute function agenthall.audit_thread();

-- As agenthall_system: row-level security hides manifests from an owner without superuser rights.
create function agenthall.agent_id_of(p_manifest_id uuid) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp as
$$ select m.agent_id from mcp.agent_manifests m where m.id = p_manifest_id $$;
grant create on schema agenthall to agenthall_system;
alter function agenthall.agent_id_of owner to agenthall_system;
revoke create on schema agenthall from agenthall_system;
revoke execute on function agenthall.agent_id_of from public;
grant execute on function agenthall.agent_id_of to current_user;

create function agenthall.audit_brake() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  -- The sweep releases brakes, too.
  if (agenthall.current_actor()).kind <> 'server' then
    perform agenthall.append_audit(
      'brake.release', 'brake', coalesce(agenthall.agent_id_of(old.manifest_id), old.manifest_id::text), old.tenant_id,
      '{}');
  end if;
  return null;
end $$;
revoke execute on function agenthall.audit_change, agenthall.audit_thread, agenthall.audit_brake from public;
create trigger audit_release after delete on mcp.agent_brakes
  for each row when (pg_trigger_depth() < 1) execute function agenthall.audit_brake();
