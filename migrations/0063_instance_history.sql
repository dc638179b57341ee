-- Keep the history of each instance: its registrations, lapses, ends, cordons, and its circuit breaker.
--
-- Rules
--   1. The statement that changes an instance writes its entry. A heartbeat and a change of health write none: an
--      instance whose health flickers would push out everything else.
--   2. An instance has at most mcp.max_instance_history() entries, for mcp.retention_instance_history() at most. They
--      go with their instance.
--   3. An entry names no user. The audit trail says who changed an instance.
--   4. Writing an entry waits for no lock. There is no foreign key: its check would wait for the instance's row, which
--      statements lock before the slots that the caller of mcp.record_job_outcome has locked.

-- Settings ------------------------------------------------------------------------------------------------------------

create function mcp.max_instance_history() returns integer language sql stable parallel safe as
$$ select coalesce(nullif(current_setting('mcp.max_instance_history', true), ''), '50')::integer $$;
comment on function mcp.max_instance_history is
  'How many entries the history of an instance has (setting mcp.max_instance_history, default 50).';
create function mcp.retention_instance_history() returns interval language sql stable parallel safe as
$$ select coalesce(nullif(current_setting('mcp.retention_instance_history', true), ''), '30 days')::interval $$;
comment on function mcp.retention_instance_history is
  'How long an entry of an instance''s history is kept (setting mcp.retention_instance_history, default 30 days).';

-- Tables --------------------------------------------------------------------------------------------------------------

create table mcp.agent_instance_history (
  id              bigint generated always as identity primary key,
  tenant_id       uuid not null,
  registration_id uuid not null,
  ordinal         bigint not null,
  epoch           bigint not null,
  kind            text not null,
  detail          jsonb not null default '{}',
  at              timestamptz not null,
  constraint agent_instance_history_kind check (kind in (
    'registered', 'reconnected', 'draining', 'cordoned', 'uncordoned', 'disconnected', 'stale', 'revived',
    'deregistered', 'inactive', 'breaker_opened', 'breaker_half_open', 'breaker_closed'))
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
comment on table mcp.agent_instance_history is
  'Changes of instances: registrations, ends, cordons, circuit breaker. The last ones of each instance.';
comment on column mcp.agent_instance_history.ordinal is
  'number within the instance; entries that were written at the same time may share one';
comment on column mcp.agent_instance_history.epoch is 'registration at that time';
comment on column mcp.agent_instance_history.detail is
  'registered, reconnected: version, zone. Ends, drains and cordons: reason. breaker_opened: reason, until, ejections';
-- No index begins with the tenant: for row-level security a plan would then read all entries of the tenant.
create index agent_instance_history_of on mcp.agent_instance_history (registration_id, ordinal);
create index agent_instance_history_at on mcp.agent_instance_history (at);

create table mcp.agent_job_counts (
  registration_id uuid primary key,
  tenant_id       uuid not null,
  succeeded       bigint not null default 0,
  failed          bigint not null default 0,
  rejected        bigint not null default 0
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
comment on table mcp.agent_job_counts is 'How the jobs of an instance ended, through all its registrations.';
comment on column mcp.agent_job_counts.failed is 'jobs that it failed, lost, or did not accept in time';
comment on column mcp.agent_job_counts.rejected is 'offers that it rejected';

do $$
declare
  v_table text;
begin
  foreach v_table in array array['agent_instance_history', 'agent_job_counts'] loop
    execute format('alter table mcp.%I enable row level security', v_table);
    execute format('alter table mcp.%I force row level security', v_table);
    execute format('grant select, insert, update, delete on mcp.%I to agenthall_system, agenthall_app', v_table);
    execute format('create policy system_all on mcp.%I to agenthall_system using (true) with check (true)', v_table);
    execute format('create policy all_own on mcp.%I to agenthall_app using (tenant_id = (select mcp.current_tenant()))
                    with check (tenant_id = (select mcp.current_tenant()))', v_table);
  end loop;
end $$;

-- Entries -------------------------------------------------------------------------------------------------------------

create function mcp.history_detail(kind text, i mcp.agent_instances) returns jsonb language sql immutable as $$
  select jsonb_strip_nulls(case
    when kind in ('registered', 'reconnected') then jsonb_build_object('version', i.version, 'zone', i.zone)
    when kind in ('draining', 'deregistered', 'inactive') then jsonb_build_object('reason', i.status_reason)
    when kind = 'cordoned' then jsonb_build_object('reason', i.cordon_reason)
    else '{}' end)
$$;
comment on function mcp.history_detail is 'Return what an entry says about an instance besides its kind.';

create function mcp.trim_instance_history(registration_ids uuid[]) returns void language sql volatile as $$
  delete from mcp.agent_instance_history h where h.id = any (array(
    select old.id
      from unnest(registration_ids) as changed (id)
     cross join lateral (select i.tenant_id from mcp.agent_instances i where i.id = changed.id offset 0) as i
     cross join lateral (
       select last.ordinal from mcp.agent_instance_history last
        where last.tenant_id = i.tenant_id and last.registration_id = changed.id
        order by last.ordinal desc limit 1) as last
     cross join lateral (
       select o.id from mcp.agent_instance_history o
        where o.tenant_id = i.tenant_id and o.registration_id = changed.id
          and o.ordinal <= last.ordinal - mcp.max_instance_history()
        order by o.ordinal limit 1000
          for update skip locked) as old))
$$;
comment on function mcp.trim_instance_history is
  'Delete all but the last mcp.max_instance_history() entries of these instances. It leaves those that another '
  'transaction deletes.';

create function mcp.record_instance_history(
  kind text, registration_ids uuid[], at timestamptz, detail jsonb default null
) returns void language plpgsql as $$
begin
  insert into mcp.agent_instance_history (tenant_id, registration_id, ordinal, epoch, kind, detail, at)
  select i.tenant_id, changed.id, coalesce(last.ordinal, 0) + 1, i.epoch, record_instance_history.kind,
         coalesce(record_instance_history.detail, i.detail), record_instance_history.at
    from unnest(registration_ids) as changed (id)
   cross join lateral ( -- look up each id by itself: a plan for all of them may read the whole tenant
     select f.tenant_id, f.epoch, mcp.history_detail(record_instance_history.kind, f) as detail
       from mcp.agent_instances f where f.id = changed.id
     offset 0) as i
    left join lateral (
      select h.ordinal from mcp.agent_instance_history h
       where h.tenant_id = i.tenant_id and h.registration_id = changed.id
       order by h.ordinal desc limit 1) as last on true;
  perform mcp.trim_instance_history(registration_ids);
end $$;
comment on function mcp.record_instance_history is
  'Add an entry of this kind to the history of each of these instances, and delete the oldest ones beyond the limit.';

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
  if kind not in ('health', 'updated') then
    perform mcp.record_instance_history(kind, registration_ids, at);
  end if;
end $$;
comment on function mcp.record_agent_events is
  'Insert an event of this kind into the inbox for each of these instances, and into their history (see the rules of '
  '0063).';

create function mcp.delete_instance_history() returns trigger language plpgsql as $$
begin
  delete from mcp.agent_instance_history h where h.registration_id = any (array(select d.id from deleted_rows d));
  delete from mcp.agent_job_counts c where c.registration_id = any (array(select d.id from deleted_rows d));
  return null;
end $$;
comment on function mcp.delete_instance_history is
  'Delete the history and the counts of instances that are deleted (trigger).';
create trigger delete_instance_history after delete on mcp.agent_instances referencing old table as deleted_rows
  for each statement execute function mcp.delete_instance_history();

create or replace function mcp.delete_ended(at timestamptz, max_rows integer) returns integer language plpgsql as $$
declare
  v_count integer;
begin
  delete from mcp.agent_instances i where i.id = any (array(
    select e.id from mcp.agent_instances e
     where e.registration_status = 'inactive' and e.cordoned_at is null and e.ended_at <= at - mcp.retention_deleted()
     order by e.ended_at limit max_rows for update skip locked));
  get diagnostics v_count = row_count;
  delete from mcp.agent_instance_history h where h.id = any (array(
    select o.id from mcp.agent_instance_history o
     where o.at <= delete_ended.at - mcp.retention_instance_history()
     order by o.at limit max_rows for update skip locked));
  return v_count;
end $$;
comment on function mcp.delete_ended is
  'Delete instances that ended mcp.retention_deleted() ago and are not cordoned, and entries of their history that are '
  'older than mcp.retention_instance_history(), each at most max_rows. Return the number of instances.';

-- Jobs and the circuit breaker ----------------------------------------------------------------------------------------

create function mcp.count_job(tenant_id uuid, registration_id uuid, outcome text) returns void
language sql volatile as $$
  insert into mcp.agent_job_counts as c (tenant_id, registration_id, succeeded, failed, rejected)
  values (tenant_id, registration_id, (outcome = 'succeeded')::integer, (outcome = 'failed')::integer,
          (outcome = 'rejected')::integer)
  on conflict on constraint agent_job_counts_pkey do update
    set succeeded = c.succeeded + excluded.succeeded, failed = c.failed + excluded.failed,
        rejected = c.rejected + excluded.rejected
$$;
comment on function mcp.count_job is
  'Count the end of a job (succeeded, failed or rejected) of an instance, whose slots the caller has locked.';

create or replace function mcp.withdraw_offer(job mcp.agent_jobs, outcome text, detail text, at timestamptz)
returns void language plpgsql as $$
begin
  perform mcp.free_slot(job);
  perform mcp.end_offer(job.id, outcome, detail, at);
  update mcp.agent_jobs j
     set state = 'queued', registration_id = null, epoch = null, instance_id = null, holds_slot = false,
         accept_by = null
   where j.id = job.id and j.state = 'offered';
  if outcome = 'rejected' then
    perform mcp.count_job(job.tenant_id, job.registration_id, outcome);
  end if;
end $$;

create or replace function mcp.record_job_outcome(
  registration_id uuid, is_success boolean, reason text, at timestamptz
) returns void language plpgsql as $$
#variable_conflict use_column
declare
  v_slot  mcp.agent_slots;
  v_open  bigint;
  v_total bigint;
begin
  select * into v_slot from mcp.agent_slots s where s.registration_id = record_job_outcome.registration_id for update;
  if v_slot.registration_id is null then
    return;
  end if;
  perform mcp.count_job(
    v_slot.tenant_id, v_slot.registration_id, case when is_success then 'succeeded' else 'failed' end);
  if is_success then
    update mcp.agent_slots s set failures = 0, ejections = 0, ejected_until = null, ejection_reason = null
     where s.registration_id = v_slot.registration_id
       and (s.failures > 0 or s.ejections > 0 or s.ejected_until is not null);
    if v_slot.ejected_until is not null then
      perform mcp.record_instance_history('breaker_closed', array[v_slot.registration_id], at);
    end if;
    return;
  end if;
  if mcp.breaker_state(v_slot, at) = 'closed' and v_slot.failures + 1 < 3 then
    update mcp.agent_slots s set failures = s.failures + 1 where s.registration_id = v_slot.registration_id;
    return;
  elsif mcp.breaker_state(v_slot, at) = 'open' then
    return; -- a job from before the ejection
  end if;
  select count(*) filter (where s.ejected_until > at), count(*) into v_open, v_total from mcp.agent_slots s
   where s.tenant_id = v_slot.tenant_id and s.manifest_id = v_slot.manifest_id and s.is_open;
  if v_open + 1 <= greatest(1, v_total / 2) then
    update mcp.agent_slots s
       set failures = 0, ejections = s.ejections + 1, ejection_reason = record_job_outcome.reason,
           ejected_until = at + least(interval '10 seconds' * (s.ejections + 1), interval '300 seconds')
     where s.registration_id = v_slot.registration_id
    returning s.* into v_slot;
    perform mcp.record_instance_history('breaker_opened', array[v_slot.registration_id], at, jsonb_strip_nulls(
      jsonb_build_object('reason', left(v_slot.ejection_reason, 1024), 'until', agenthall.iso(v_slot.ejected_until),
                         'ejections', v_slot.ejections)));
  else
    update mcp.agent_slots s set failures = 3 where s.registration_id = v_slot.registration_id;
  end if;
end $$;
comment on function mcp.record_job_outcome is
  'Count the end of a job, also for the circuit breaker of its instance. The third failure in a row, or a failed '
  'probe, ejects the instance for 10 s, then 20 s, … 300 s, unless half of the set is ejected already.';

create function mcp.record_probe(slot mcp.agent_slots, at timestamptz) returns void language plpgsql as $$
begin
  if (select h.kind from mcp.agent_instance_history h
       where h.tenant_id = slot.tenant_id and h.registration_id = slot.registration_id
       order by h.ordinal desc limit 1) is distinct from 'breaker_half_open' then
    perform mcp.record_instance_history('breaker_half_open', array[slot.registration_id], at);
  end if;
end $$;
comment on function mcp.record_probe is
  'Record that an instance whose ejection has ended gets a job as a probe; once, if it rejects one after the other.';

create or replace function mcp.record_offer(job mcp.agent_jobs, slot mcp.agent_slots, chosen_by text, at timestamptz)
returns void language plpgsql as $$
#variable_conflict use_column
begin
  update mcp.agent_slots s set used = s.used + 1, turn = s.turn + 1.0 / s.slots, credit = s.credit - 1
   where s.registration_id = slot.registration_id;
  insert into mcp.agent_job_offers (
    job_id, ordinal, tenant_id, attempt, registration_id, instance_id, epoch, chosen_by, share, offered_at)
  select job.id, count(*) + 1, job.tenant_id, job.attempt, slot.registration_id, slot.instance_id, slot.epoch,
         record_offer.chosen_by, slot.share, at
    from mcp.agent_job_offers o where o.job_id = job.id;
  if slot.ejected_until is not null then
    perform mcp.record_probe(slot, at);
  end if;
end $$;

-- The present registrations of instances begin their history. The owner sees no rows of tenants.
set local role agenthall_system;
insert into mcp.agent_instance_history (tenant_id, registration_id, ordinal, epoch, kind, detail, at)
select i.tenant_id, i.id, 1, i.epoch, k.kind, mcp.history_detail(k.kind, i), i.connected_at
  from mcp.agent_instances i
 cross join lateral (select case when i.epoch = 1 then 'registered' else 'reconnected' end as kind) k
 where i.registration_status <> 'inactive';
reset role;
