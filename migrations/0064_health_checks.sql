-- Check instances over HTTP, so that one that reports good health and does not answer gets no jobs.
--
-- Rules
--   1. An instance asks for it with the member health_check_url of its connection_details. A row of mcp.agent_checks
--      exists as long as the instance has the member and is not inactive.
--   2. Workers make the requests. Each check is made once: the statement that takes it sets the time of the next.
--   3. The third failed check in a row opens the circuit breaker, as jobs do, and never for more than half of a set. It
--      stays open while checks fail. A check that passes ends an ejection that checks began, not one by jobs; then one
--      job is the probe.
--   4. Locks are taken in the order instance, check, slots.

create table mcp.agent_checks (
  registration_id uuid primary key,
  tenant_id       uuid not null,
  url             text not null,
  due_at          timestamptz not null,
  checked_at      timestamptz,
  failures        integer not null default 0,
  error           text,
  ejected_until   timestamptz,
  foreign key (tenant_id, registration_id) references mcp.agent_instances (tenant_id, id) on delete cascade,
  constraint agent_checks_url check (url ~ '^https?://[^/?#@\s]+([/?#]\S*)?$' and length(url) <= 2048)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
comment on table mcp.agent_checks is 'Instances whose health workers ask for over HTTP, and how they answered.';
comment on column mcp.agent_checks.url is 'address of the GET: health_check_url of the connection_details';
comment on column mcp.agent_checks.failures is 'failed checks in a row';
comment on column mcp.agent_checks.error is 'why the last check failed; null: it passed, or there was none';
comment on column mcp.agent_checks.ejected_until is
  'end of the ejection that failed checks began: equal to that of the slots, unless a job has changed it since';
create index agent_checks_due on mcp.agent_checks (due_at);

alter table mcp.agent_checks enable row level security;
alter table mcp.agent_checks force row level security;
grant select, insert, update, delete on mcp.agent_checks to agenthall_system, agenthall_app;
create policy system_all on mcp.agent_checks to agenthall_system using (true) with check (true);
create policy all_own on mcp.agent_checks to agenthall_app using (tenant_id = (select mcp.current_tenant()))
  with check (tenant_id = (select mcp.current_tenant()));

-- Which instances are checked -----------------------------------------------------------------------------------------

create function mcp.health_check_url(i mcp.agent_instances) returns text language sql immutable as $$
  select case when i.registration_status <> 'inactive' then i.connection_details ->> 'health_check_url' end
$$;
comment on function mcp.health_check_url is 'Return the URL at which an instance is checked; null: it is not.';

create function mcp.note_health_check() returns trigger language plpgsql as $$
declare
  v_url text := mcp.health_check_url(new);
begin
  if v_url is null then
    delete from mcp.agent_checks c where c.registration_id = new.id;
    return null;
  end if;
  insert into mcp.agent_checks as c (registration_id, tenant_id, url, due_at)
  values (new.id, new.tenant_id, v_url, clock_timestamp())
  on conflict on constraint agent_checks_pkey do update
    set url = excluded.url, due_at = excluded.due_at, checked_at = null, failures = 0, error = null;
  return null;
end $$;
comment on function mcp.note_health_check is 'Begin, change or end the checks of an instance (trigger).';
create trigger note_health_check_insert after insert on mcp.agent_instances for each row
  when (mcp.health_check_url(new) is not null) execute function mcp.note_health_check();
create trigger note_health_check_update after update of connection_details, registration_status on mcp.agent_instances
  for each row when (mcp.health_check_url(old) is distinct from mcp.health_check_url(new))
  execute function mcp.note_health_check();

insert into mcp.agent_checks (registration_id, tenant_id, url, due_at)
select i.id, i.tenant_id, mcp.health_check_url(i), clock_timestamp() from mcp.agent_instances i
 where mcp.health_check_url(i) ~ '^https?://[^/?#@\s]+([/?#]\S*)?$' and length(mcp.health_check_url(i)) <= 2048;

create function mcp.claim_checks(max_checks integer, every interval, now timestamptz default null)
returns table (registration_id uuid, url text) language sql volatile as $$
  update mcp.agent_checks c
     set due_at = coalesce(now, clock_timestamp()) + every * (0.9 + 0.2 * random())
   where c.registration_id = any (array(
           select d.registration_id from mcp.agent_checks d
            where d.due_at <= coalesce(now, clock_timestamp())
            order by d.due_at limit max_checks for update skip locked))
  returning c.registration_id, c.url
$$;
comment on function mcp.claim_checks is
  'Take at most max_checks checks that are due, the longest due first. Each is due again after about `every`.';

-- The circuit breaker -------------------------------------------------------------------------------------------------

create function mcp.eject(inout slot mcp.agent_slots, reason text, at timestamptz, at_least interval default '0')
language plpgsql as $$
declare
  v_open  bigint;
  v_total bigint;
begin
  select count(*) filter (where s.ejected_until > at), count(*) into v_open, v_total from mcp.agent_slots s
   where s.tenant_id = slot.tenant_id and s.manifest_id = slot.manifest_id and s.is_open;
  if v_open + 1 > greatest(1, v_total / 2) then
    update mcp.agent_slots s set failures = 3 where s.registration_id = slot.registration_id returning s.* into slot;
    return;
  end if;
  update mcp.agent_slots s
     set failures = 0, ejections = s.ejections + 1, ejection_reason = eject.reason,
         ejected_until = at + greatest(
           at_least, least(interval '10 seconds' * (s.ejections + 1), interval '300 seconds'))
   where s.registration_id = slot.registration_id
  returning s.* into slot;
  perform mcp.record_instance_history('breaker_opened', array[slot.registration_id], at, jsonb_strip_nulls(
    jsonb_build_object('reason', left(slot.ejection_reason, 1024), 'until', agenthall.iso(slot.ejected_until),
                       'ejections', slot.ejections)));
end $$;
comment on function mcp.eject is
  'Open the circuit breaker of an instance, whose slots the caller has locked, for 10 s, then 20 s, … 300 s, unless '
  'half of the set is ejected already. Return its slots.';

create or replace function mcp.record_job_outcome(
  registration_id uuid, is_success boolean, reason text, at timestamptz
) returns void language plpgsql as $$
#variable_conflict use_column
declare
  v_slot mcp.agent_slots;
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
  elsif mcp.breaker_state(v_slot, at) = 'closed' and v_slot.failures + 1 < 3 then
    update mcp.agent_slots s set failures = s.failures + 1 where s.registration_id = v_slot.registration_id;
  elsif mcp.breaker_state(v_slot, at) <> 'open' then -- else a job from before the ejection
    perform mcp.eject(v_slot, record_job_outcome.reason, at);
  end if;
end $$;
comment on function mcp.record_job_outcome is
  'Count the end of a job, also for the circuit breaker of its instance. The third failure in a row, or a failed '
  'probe, ejects the instance (mcp.eject).';

create function mcp.apply_health_check(c mcp.agent_checks, every interval, at timestamptz) returns timestamptz
language plpgsql as $$
declare
  v_slot mcp.agent_slots;
  v_ours boolean;
begin
  if c.failures between 1 and 2 or c.error is null and c.ejected_until is null then
    return c.ejected_until;
  end if;
  select * into v_slot from mcp.agent_slots s where s.registration_id = c.registration_id for update;
  if v_slot.registration_id is null then
    return null;
  end if;
  v_ours := v_slot.ejected_until = c.ejected_until;
  if c.error is null then
    update mcp.agent_slots s set ejected_until = least(s.ejected_until, at)
     where v_ours and s.registration_id = v_slot.registration_id;
    return null;
  elsif mcp.breaker_state(v_slot, at) <> 'open' then
    return (mcp.eject(v_slot, 'health check: ' || c.error, at, every * 2)).ejected_until;
  elsif v_ours then
    update mcp.agent_slots s set ejected_until = greatest(s.ejected_until, at + every * 2)
     where s.registration_id = v_slot.registration_id
    returning s.ejected_until into v_slot.ejected_until;
    return v_slot.ejected_until;
  end if;
  return null;
end $$;
comment on function mcp.apply_health_check is
  'Tell the circuit breaker of an instance about a check, which has its new failures and error. Return the end of the '
  'ejection that checks have begun.';

create function mcp.record_checks(
  registration_ids uuid[], urls text[], errors text[], every interval, now timestamptz default null
) returns integer language plpgsql as $$
declare
  v_at    timestamptz := coalesce(now, clock_timestamp());
  v_check mcp.agent_checks;
  v_count integer := 0;
begin
  for v_check in
    select c.registration_id, c.tenant_id, c.url, c.due_at, v_at,
           case when a.error is null then 0 else c.failures + 1 end, left(a.error, 1024), c.ejected_until
      from unnest(registration_ids, urls, errors) as a (id, url, error)
      join mcp.agent_checks c on c.registration_id = a.id and c.url = a.url
     order by c.registration_id
       for update of c
  loop
    v_check.ejected_until := mcp.apply_health_check(v_check, every, v_at);
    update mcp.agent_checks c
       set checked_at = v_at, failures = v_check.failures, error = v_check.error, ejected_until = v_check.ejected_until
     where c.registration_id = v_check.registration_id;
    v_count := v_count + 1;
  end loop;
  return v_count;
end $$;
comment on function mcp.record_checks is
  'Record answers of checks, of which errors are null where they passed. Answers of a URL that the instance no longer '
  'has are left out. Return how many were recorded.';
