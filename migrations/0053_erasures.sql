-- Create erasures: the deletion of all data of a user or an organization, in batches.
--
-- Rules
--   1. A batch is one statement. It deletes rows and counts them in the erasure's row, so an erasure that was
--      interrupted goes on where it stopped, with right counts.
--   2. The rows that an erasure deletes have no entries in the audit trail, which would name them. The erasure has two:
--      its start and its end.
--   3. An erasure that is finished does not name its subject any more.
create table agenthall.erasures (
  erasure_id      uuid primary key,
  subject_type    text not null,
  subject_id      text,
  organization_id uuid,
  counts          jsonb not null default '{}',
  started_at      timestamptz not null default clock_timestamp(),
  finished_at     timestamptz,
  constraint erasures_subject_type check (subject_type in ('user', 'organization')),
  constraint erasures_finished check ((finished_at is null) = (subject_id is not null))
);
comment on table agenthall.erasures is 'Erasures of users and organizations, with the number of rows of each table.';
comment on column agenthall.erasures.subject_id is
  'identity of the user, or id of the organization; null once finished';
comment on column agenthall.erasures.organization_id is 'organization that the erasure of a user is limited to';
create unique index erasures_unfinished on agenthall.erasures (subject_type, subject_id, organization_id)
  nulls not distinct where finished_at is null;
grant select, insert, update on agenthall.erasures to agenthall_system;
grant delete on agenthall.api_keys, agenthall.assistant_versions to agenthall_system;

create trigger audit_start after insert on agenthall.erasures
  for each row execute function agenthall.audit_change('erasure', 'erasure_id', '', 'start');
create trigger audit_finish after update on agenthall.erasures
  for each row when (old.finished_at is null and new.finished_at is not null)
  execute function agenthall.audit_change('erasure', 'erasure_id', '', 'finish', 'subject_id,counts');

create function agenthall.set_erasure(p_erasure_id uuid) returns boolean language plpgsql volatile as $$
begin
  perform set_config('agenthall.erasure', p_erasure_id::text, true);
  return true;
end $$;
comment on function agenthall.set_erasure is 'Name the erasure that this transaction belongs to, for rule 2.';

create function agenthall.is_erasing() returns boolean language sql stable as $$
  select exists (
    select from agenthall.erasures e
     where e.erasure_id = nullif(current_setting('agenthall.erasure', true), '')::uuid and e.finished_at is null)
$$;
comment on function agenthall.is_erasing is 'Return whether this transaction belongs to an erasure that has not ended.';

-- Keys are revoked, and versions are history. Nothing but an erasure deletes them by themselves.
create function agenthall.refuse_deletion() returns trigger language plpgsql as $$
begin
  if not agenthall.is_erasing() then
    raise exception '% are deleted by an erasure only', tg_table_name using errcode = 'insufficient_privilege';
  end if;
  return old;
end $$;
create trigger refuse_deletion before delete on agenthall.api_keys
  for each row when (current_user = 'agenthall_system') execute function agenthall.refuse_deletion();
create trigger refuse_deletion before delete on agenthall.assistant_versions
  for each row when (current_user = 'agenthall_system') execute function agenthall.refuse_deletion();

create or replace function agenthall.append_audit(
  p_action text, p_type text, p_id text, p_organization uuid, p_fields text[]
) returns void language plpgsql as $$
declare
  v_actor record;
begin
  if agenthall.is_erasing() then
    return;
  end if;
  v_actor := agenthall.current_actor();
  insert into agenthall.audit_log (
    organization_id, actor, actor_kind, request_id, action, resource_type, resource_id, changed_fields)
  values (p_organization, v_actor.actor, v_actor.kind, nullif(current_setting('agenthall.request_id', true), ''),
          p_action, p_type, p_id, p_fields);
end $$;

create function agenthall.erase_from_audit_log(p_erasure_id uuid, p_limit integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_erasure agenthall.erasures;
  v_changed integer;
begin
  select * into strict v_erasure from agenthall.erasures e where e.erasure_id = p_erasure_id and e.finished_at is null;
  perform set_config('agenthall.audit_maintenance', 'on', true);
  if v_erasure.subject_type = 'user' then
    update agenthall.audit_log e set actor = 'erased:' || p_erasure_id
     where e.audit_id = any (array(
       select o.audit_id from agenthall.audit_log o
        where o.actor = v_erasure.subject_id
          and (v_erasure.organization_id is null or o.organization_id = v_erasure.organization_id)
        limit p_limit));
  else
    update agenthall.audit_log e set organization_id = null
     where e.audit_id = any (array(
       select o.audit_id from agenthall.audit_log o
        where o.organization_id = v_erasure.subject_id::uuid limit p_limit));
  end if;
  get diagnostics v_changed = row_count;
  perform set_config('agenthall.audit_maintenance', '', true);
  update agenthall.erasures e
     set counts = e.counts || jsonb_build_object(
       'agenthall.audit_log', coalesce((e.counts ->> 'agenthall.audit_log')::bigint, 0) + v_changed)
   where e.erasure_id = p_erasure_id;
  return v_changed;
end $$;
comment on function agenthall.erase_from_audit_log is
  'Take the name of an erased user, or the id of an erased organization, out of at most p_limit entries of the audit '
  'trail. The entries stay. Return how many were changed.';
revoke execute on function agenthall.erase_from_audit_log from public;
grant execute on function agenthall.erase_from_audit_log to agenthall_system;
