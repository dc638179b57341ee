-- Add what the transports of jobs need: events of many jobs in one statement, polls that end, and lists for operators.
--
-- Rules
--   1. append_events_of_jobs does for many jobs what append_job_events does for one.
--   2. A poll adds the offers that it asks for to agent_slots.credit. When it ends, it takes back those that it did not
--      get. So several polls of an instance, on any processes, get as many offers as they asked for together.
--   3. An offer is taken by one poll. The next one may take it again a second later, because the answer may be lost.
--   4. An instance that polls is offered nothing before its first poll.

-- Events --------------------------------------------------------------------------------------------------------------

create function mcp.append_events_of_jobs(
  tenant_ids uuid[], job_ids uuid[], attempts integer[], registration_ids uuid[], epochs bigint[], first_seqs integer[],
  positions integer[], events text[], data text[], now timestamptz default null
) returns table (job_id uuid, outcome text, applied_through integer) language plpgsql as $$
#variable_conflict use_column
declare
  v_now       timestamptz := coalesce(append_events_of_jobs.now, clock_timestamp());
  v_max       bigint := mcp.max_job_events();
  v_positions integer[] := append_events_of_jobs.positions;
  v_events    text[] := append_events_of_jobs.events;
  v_data      text[] := append_events_of_jobs.data;
begin
  perform mcp.check_argument(
    cardinality(job_ids) = (select count(distinct u.id) from unnest(job_ids) u (id)), 'job_ids',
    'must name each job once');
  perform mcp.check_argument(
    cardinality(v_events) = cardinality(v_data) and cardinality(v_events) = cardinality(v_positions), 'events',
    'must be as many as data and positions');
  perform mcp.check_argument(
    v_events <@ array['token', 'messages', 'values', 'updates', 'custom'], 'events',
    'must be token, messages, values, updates or custom');
  perform from mcp.agent_jobs j where j.id = any (job_ids) order by j.id for no key update;
  return query
    with given as materialized (
      select g.* from unnest(tenant_ids, job_ids, attempts, registration_ids, epochs, first_seqs) with ordinality
        as g (tenant_id, job_id, attempt, registration_id, epoch, first_seq, position)),
    held as materialized ( -- without applied_through, the message is fenced
      select g.*, j.applied_through, j.event_bytes
        from given g
        left join lateral ( -- OFFSET 0: look up each job by itself, with any plan
          select o.applied_through, o.event_bytes from mcp.agent_jobs o
           where o.id = g.job_id and o.tenant_id = g.tenant_id and o.attempt = g.attempt
             and o.registration_id = g.registration_id and o.epoch = g.epoch and o.holds_slot and o.state = 'running'
             and exists (select from mcp.agent_leases l where l.registration_id = o.registration_id
                            and l.epoch = o.epoch)
          offset 0) j on true),
    numbered as (
      select e.position, row_number() over (partition by e.position order by e.n) - 1 as n, e.event, e.data
        from unnest(v_positions, v_events, v_data) with ordinality as e (position, event, data, n)),
    fresh as materialized (
      select h.position, h.job_id, h.attempt, h.tenant_id, (h.first_seq + e.n)::integer as seq, e.event, e.data
        from numbered e
        join held h on h.position = e.position
       where h.first_seq <= h.applied_through + 1 and h.first_seq + e.n > h.applied_through),
    sizes as (
      select f.position, max(f.seq) as last, sum(octet_length(f.data)) as bytes from fresh f group by f.position),
    judged as materialized (
      select h.position, h.job_id, h.applied_through as before, coalesce(s.last, h.applied_through) as last,
             coalesce(s.bytes, 0) as bytes,
             case when h.applied_through is null then 'fenced'
                  when h.first_seq > h.applied_through + 1 then 'gap'
                  when h.event_bytes + coalesce(s.bytes, 0) > v_max then 'full'
                  else 'ok' end as outcome
        from held h
        left join sizes s on s.position = h.position),
    inserted as (
      insert into mcp.agent_job_events (job_id, attempt, seq, tenant_id, event, data)
      select f.job_id, f.attempt, f.seq, f.tenant_id, f.event, f.data
        from fresh f
        join judged g on g.position = f.position and g.outcome = 'ok'),
    updated as (
      update mcp.agent_jobs j
         set applied_through = g.last, event_bytes = j.event_bytes + g.bytes, has_output = true,
             lease_expires_at = v_now + mcp.job_lease()
        from judged g
       where j.id = g.job_id and g.outcome = 'ok')
    select g.job_id, g.outcome, case g.outcome when 'ok' then g.last else g.before end from judged g;
  perform mcp.notify_jobs('agent_jobs', job_ids);
end $$;
comment on function mcp.append_events_of_jobs is
  'Store events of many running jobs, of all tenants that the caller sees. The arguments up to first_seqs are columns, '
  'one job for each position. positions, events and data are columns, too, one event for each. A position says to '
  'which job the event belongs, from 1. The events of one job are in their order. Return one row for each job. '
  'outcome: as that of mcp.append_job_events, or full (the job would have more events than mcp.max_job_events(); '
  'nothing of it is stored).';

-- Leases --------------------------------------------------------------------------------------------------------------

-- Dropped, because result columns are new: one call may have messages of two epochs about one job.
drop function mcp.extend_agent_jobs;
create function mcp.extend_agent_jobs(
  registration_ids uuid[], epochs bigint[], job_ids uuid[], attempts integer[], now timestamptz default null,
  tenant_ids uuid[] default null
) returns table (
  tenant_id uuid, registration_id uuid, epoch bigint, job_id uuid, attempt integer, outcome text, cancel boolean
) language plpgsql as $$
#variable_conflict use_column
declare
  v_now     timestamptz := coalesce(extend_agent_jobs.now, clock_timestamp());
  v_tenants uuid[] := extend_agent_jobs.tenant_ids;
begin
  perform set_config('synchronous_commit', 'off', true); -- the next extension replaces one that a crash loses
  perform from mcp.agent_jobs j where j.id = any (job_ids) order by j.id for no key update;
  return query
    with given as materialized (
      select g.* from unnest(registration_ids, epochs, job_ids, attempts, v_tenants)
        as g (registration_id, epoch, job_id, attempt, tenant_id)),
    extended as (
      update mcp.agent_jobs j set lease_expires_at = v_now + mcp.job_lease()
        from given g
       where j.id = g.job_id and j.attempt = g.attempt and j.registration_id = g.registration_id and j.epoch = g.epoch
         and j.state = 'running' and (v_tenants is null or j.tenant_id = g.tenant_id)
         and exists (select from mcp.agent_leases l
                      where l.registration_id = g.registration_id and l.epoch = g.epoch)
      returning g.tenant_id, g.registration_id, g.epoch, j.id, j.attempt, j.cancel_by is not null as cancel)
    select g.tenant_id, g.registration_id, g.epoch, g.job_id, g.attempt,
           case when x.id is null then 'fenced' else 'ok' end,
           coalesce(x.cancel, false)
      from given g
      left join extended x on x.id = g.job_id and x.attempt = g.attempt and x.registration_id = g.registration_id
       and x.epoch = g.epoch and x.tenant_id is not distinct from g.tenant_id;
end $$;
comment on function mcp.extend_agent_jobs is
  'Extend the leases of running jobs, of all tenants that the caller sees. The arguments are columns, one job for each '
  'position. tenant_ids: also compare the tenant. Return one row for each: outcome ok or fenced, and whether the job '
  'is to be cancelled. The commit does not wait for the disk.';

-- Slots and polls -----------------------------------------------------------------------------------------------------

alter table mcp.agent_job_offers add column taken_at timestamptz;
comment on column mcp.agent_job_offers.taken_at is 'when a poll took the offer last; null: none did';

-- Dropped, because an argument is new and an overload would make calls ambiguous.
drop function mcp.open_agent_slots;
create function mcp.open_agent_slots(
  tenant_id uuid, registration_id uuid, epoch bigint, slots integer, jobs uuid[] default '{}',
  now timestamptz default null, polls boolean default false
) returns table (outcome text, continued jsonb, offered uuid[], changed uuid[]) language plpgsql as $$
#variable_conflict use_column
declare
  v_now  timestamptz := coalesce(open_agent_slots.now, clock_timestamp());
  v_id   uuid := open_agent_slots.registration_id;
  v_slot mcp.agent_slots;
  v_job  mcp.agent_jobs;
  v_sent record;
begin
  perform mcp.act_for(tenant_id);
  perform mcp.check_argument(slots between 0 and 1000, 'slots', 'must be between 0 and 1000');
  continued := '[]'; offered := '{}'; changed := '{}';
  outcome := mcp.lease_outcome(tenant_id, v_id, epoch);
  if outcome <> 'ok' then
    return next;
    return;
  end if;
  v_slot := mcp.ensure_slots(tenant_id, v_id, epoch, slots);
  if v_slot.epoch > open_agent_slots.epoch then
    outcome := 'superseded';
    return next;
    return;
  end if;
  update mcp.agent_slots s set credit = case when polls then 0 end, polls_until = case when polls then v_now end
   where s.registration_id = v_id;
  for v_job in
    select * from mcp.agent_jobs j where j.registration_id = v_id and j.holds_slot order by j.id for update
  loop
    if v_job.id = any (jobs) and v_job.state = 'running' then
      update mcp.agent_jobs j set epoch = open_agent_slots.epoch, lease_expires_at = v_now + mcp.job_lease()
       where j.id = v_job.id;
      update mcp.agent_job_offers o set epoch = open_agent_slots.epoch
       where o.job_id = v_job.id and o.outcome is null;
      continued := continued || jsonb_build_array(jsonb_build_object(
        'job_id', v_job.id, 'attempt', v_job.attempt, 'applied_through', v_job.applied_through,
        'cancel', v_job.cancel_by is not null));
    elsif v_job.epoch < open_agent_slots.epoch then
      perform mcp.lose_job(v_job, 'lost', 'the instance registered again without it', v_now);
      changed := changed || v_job.id;
    end if;
  end loop;
  select * into v_sent from mcp.dispatch_set(tenant_id, v_slot.manifest_id, 1000, v_now);
  offered := v_sent.offered;
  changed := changed || v_sent.changed;
  perform mcp.notify_jobs('agent_jobs', changed);
  return next;
end $$;
comment on function mcp.open_agent_slots is
  'State how many jobs an instance takes at a time, after each registration. Its running jobs that `jobs` names go on '
  'under this epoch. It loses all others of earlier epochs. With polls it gets offers only when it asks with '
  'mcp.claim_agent_jobs. outcome: ok, superseded or must_register. continued: an array of {job_id, attempt, '
  'applied_through, cancel}.';

create or replace function mcp.claim_agent_jobs(
  tenant_id uuid, registration_id uuid, epoch bigint, max_jobs integer default 1,
  wait_seconds double precision default 0, now timestamptz default null
) returns table (outcome text, offered uuid[], changed uuid[]) language plpgsql as $$
#variable_conflict use_column
declare
  v_now   timestamptz := coalesce(claim_agent_jobs.now, clock_timestamp());
  v_id    uuid := claim_agent_jobs.registration_id;
  v_slot  mcp.agent_slots;
  v_until timestamptz;
begin
  perform mcp.act_for(tenant_id);
  perform mcp.check_argument(max_jobs between 1 and 1000, 'max_jobs', 'must be between 1 and 1000');
  perform mcp.check_argument(wait_seconds between 0 and 60, 'wait_seconds', 'must be between 0 and 60');
  offered := '{}'; changed := '{}';
  outcome := mcp.lease_outcome(tenant_id, v_id, epoch);
  if outcome = 'ok' then
    v_slot := mcp.ensure_slots(tenant_id, v_id, epoch, null);
    v_until := v_now + make_interval(secs => greatest(wait_seconds, 1));
    update mcp.agent_slots s
       set slots = greatest(s.slots, 1), polls_until = greatest(s.polls_until, v_until),
           credit = least(1000, max_jobs + case when s.polls_until > v_now then s.credit else 0 end)
     where s.registration_id = v_id;
    select d.offered, d.changed into offered, changed
      from mcp.dispatch_set(tenant_id, v_slot.manifest_id, 1000, v_now) d;
  end if;
  return next;
end $$;
comment on function mcp.claim_agent_jobs is
  'Begin a poll: ask for at most max_jobs offers, now and for wait_seconds. Take them, and end the poll, with '
  'mcp.take_agent_offers. The instance takes one job at a time, unless it stated its slots. outcome: ok, superseded or '
  'must_register.';

create function mcp.take_agent_offers(
  tenant_id uuid, registration_id uuid, epoch bigint, max_jobs integer default 1, is_last boolean default true,
  now timestamptz default null
) returns table (
  job_id uuid, attempt integer, agent_id text, run_id uuid, thread_id uuid, input jsonb, deadline timestamptz,
  accept_by timestamptz
) language plpgsql as $$
#variable_conflict use_column
declare
  v_now timestamptz := coalesce(take_agent_offers.now, clock_timestamp());
  v_ids uuid[];
begin
  perform mcp.act_for(tenant_id);
  perform mcp.check_argument(max_jobs between 1 and 1000, 'max_jobs', 'must be between 1 and 1000');
  perform from mcp.agent_slots s -- no offer is made meanwhile
    where s.registration_id = take_agent_offers.registration_id and s.tenant_id = take_agent_offers.tenant_id
    for update;
  v_ids := array(
    select j.id from mcp.agent_jobs j
      join mcp.agent_job_offers o on o.job_id = j.id and o.outcome is null
     where j.registration_id = take_agent_offers.registration_id and j.tenant_id = take_agent_offers.tenant_id
       and j.epoch = take_agent_offers.epoch and j.holds_slot and j.state = 'offered'
       and (o.taken_at is null or o.taken_at <= v_now - interval '1 second')
     order by j.created_at, j.id limit max_jobs);
  if cardinality(v_ids) > 0 then
    update mcp.agent_job_offers o set taken_at = v_now where o.job_id = any (v_ids) and o.outcome is null;
  end if;
  if cardinality(v_ids) > 0 or is_last then
    update mcp.agent_slots s set credit = greatest(s.credit - (max_jobs - cardinality(v_ids)), 0)
     where s.registration_id = take_agent_offers.registration_id and s.epoch = take_agent_offers.epoch
       and s.credit > 0;
  end if;
  return query
    select j.id, j.attempt, j.agent_id, j.run_id, j.thread_id, j.input, j.deadline, j.accept_by from mcp.agent_jobs j
     where j.id = any (v_ids) order by j.created_at, j.id;
end $$;
comment on function mcp.take_agent_offers is
  'Take at most max_jobs offers of an instance that polls. The poll ends with the first that it takes; with is_last '
  'also without one. An offer that was taken may be taken again after a second, because an answer may be lost.';

create function mcp.end_agent_poll(tenant_id uuid, registration_id uuid, epoch bigint, max_jobs integer) returns boolean
language plpgsql as $$
#variable_conflict use_column
begin
  perform mcp.act_for(tenant_id);
  update mcp.agent_slots s set credit = greatest(s.credit - max_jobs, 0)
   where s.registration_id = end_agent_poll.registration_id and s.tenant_id = end_agent_poll.tenant_id
     and s.epoch = end_agent_poll.epoch and s.credit > 0;
  return found;
end $$;
comment on function mcp.end_agent_poll is
  'End a poll for max_jobs offers without taking any: its client has gone. Return false if no poll was waiting.';

-- Lists for operators -------------------------------------------------------------------------------------------------

drop index mcp.agent_jobs_of_tenant, mcp.agent_jobs_of_set;
create index agent_jobs_of_tenant on mcp.agent_jobs (tenant_id, created_at, id);
create index agent_jobs_of_set on mcp.agent_jobs (tenant_id, manifest_id, created_at, id);
create index agent_jobs_open on mcp.agent_jobs (tenant_id, created_at, id) where ended_at is null;
create index agent_jobs_unsuccessful on mcp.agent_jobs (tenant_id, created_at, id)
  where state in ('failed', 'cancelled', 'expired');
create index agent_jobs_of_thread on mcp.agent_jobs (thread_id, tenant_id) where thread_id is not null;
create index agent_jobs_by_run on mcp.agent_jobs (run_id, tenant_id) where run_id is not null;
