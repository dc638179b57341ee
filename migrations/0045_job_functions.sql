-- Create the functions of jobs, for instances, callers and the sweeper. The rules are in 0043_job_tables.sql.
--
-- Rules of polls
--   1. A poll adds the offers that it asks for to agent_slots.credit. When it ends, it takes back those that it did not
--      get. So several polls of an instance, on any processes, get as many offers as they asked for together.
--   2. An offer is taken by one poll. The next one may take it again a second later, because the answer may be lost.
--   3. An instance that polls is offered nothing before its first poll.
-- Jobs ----------------------------------------------------------------------------------------------------------------

create function mcp.end_offer(job_id uuid, outcome text, detail text, at timestamptz) returns void
language sql volatile as $$
  update mcp.agent_job_offers o set ended_at = at, outcome = end_offer.outcome, detail = left(end_offer.detail, 1024)
   where o.job_id = end_offer.job_id and o.outcome is null
$$;
comment on function mcp.end_offer is 'Record how the open offer of a job ended.';

create function mcp.free_slot(job mcp.agent_jobs) returns void language sql volatile as $$
  update mcp.agent_slots s set used = s.used - 1
   where job.holds_slot and s.registration_id = job.registration_id
$$;
comment on function mcp.free_slot is
  'Free the slot that a job takes. The caller sets holds_slot to false in the same transaction.';

create function mcp.end_queued_job(job_id uuid, state text, error jsonb, at timestamptz) returns boolean
language plpgsql as $$
begin
  perform from mcp.agent_jobs j where j.id = end_queued_job.job_id and j.state = 'queued' for update skip locked;
  if not found then
    return false;
  end if;
  update mcp.agent_jobs j
     set state = end_queued_job.state, ended_at = at, error = end_queued_job.error || jsonb_build_object('tried', (
           select coalesce(jsonb_agg(distinct o.instance_id), '[]') from mcp.agent_job_offers o where o.job_id = j.id))
   where j.id = end_queued_job.job_id and j.state = 'queued';
  return true;
end $$;
comment on function mcp.end_queued_job is
  'End a job that waits, with an error and the instances that were tried. Return false if it waits no more.';

create function mcp.create_agent_job(
  tenant_id uuid, agent_id text, input jsonb, job_id uuid default gen_random_uuid(), thread_id uuid default null,
  run_id uuid default null, required_capabilities text[] default '{}', required_tags text[] default '{}',
  version_low text default null, version_low_inclusive boolean default true, version_high text default null,
  version_high_inclusive boolean default false, zone text default null, affinity_key text default null,
  retry text default 'if_silent', max_attempts integer default 3, start_within interval default '60 seconds',
  run_within interval default null, now timestamptz default null
) returns table (id uuid, state text, is_new boolean, offered uuid[]) language plpgsql as $$
#variable_conflict use_column
declare
  v_now     timestamptz := coalesce(create_agent_job.now, clock_timestamp());
  v_job     mcp.agent_jobs;
  v_max     integer;
  v_enabled boolean;
  v_choice  record;
  v_slot    mcp.agent_slots;
  v_owner   uuid;
begin
  perform mcp.act_for(tenant_id);
  perform mcp.check_argument(job_id is not null, 'job_id', 'must not be null');
  perform mcp.check_argument(jsonb_typeof(input) = 'object', 'input', 'must be a JSON object');
  perform mcp.check_argument(
    mcp.is_string_list(required_capabilities), 'required_capabilities',
    'must be at most 64 words of 1 to 128 characters');
  perform mcp.check_argument(
    mcp.is_string_list(required_tags), 'required_tags', 'must be at most 64 words of 1 to 128 characters');
  perform mcp.check_argument(
    version_low is null or mcp.version_key(version_low) is not null, 'version_low', 'must be a version');
  perform mcp.check_argument(
    version_high is null or mcp.version_key(version_high) is not null, 'version_high', 'must be a version');
  perform mcp.check_argument(coalesce(char_length(zone), 1) between 1 and 128, 'zone', 'must have 1 to 128 characters');
  perform mcp.check_argument(
    coalesce(char_length(affinity_key), 1) between 1 and 255, 'affinity_key', 'must have 1 to 255 characters');
  perform mcp.check_argument(
    retry in ('never', 'if_silent', 'always'), 'retry', 'must be never, if_silent or always');
  perform mcp.check_argument(max_attempts between 1 and 100, 'max_attempts', 'must be between 1 and 100');
  perform mcp.check_argument(
    start_within is null or start_within >= interval '0', 'start_within', 'must not be negative');
  perform mcp.check_argument(run_within is null or run_within > interval '0', 'run_within', 'must be positive');

  select c.manifest_id, c.enabled, c.max_workload into v_job.manifest_id, v_enabled, v_max
    from mcp.agent_configurations c
   where c.tenant_id = create_agent_job.tenant_id and c.agent_id = create_agent_job.agent_id;
  perform mcp.check_argument(v_job.manifest_id is not null, 'agent_id', 'has no configuration in this tenant');
  if not v_enabled then
    raise exception 'agent % is disabled for tenant %', agent_id, tenant_id using errcode = 'AH001';
  end if;

  v_job.id := job_id; v_job.tenant_id := tenant_id; v_job.thread_id := thread_id; v_job.attempt := 1;
  v_job.required_capabilities := required_capabilities; v_job.required_tags := required_tags;
  v_job.version_low := mcp.version_key(version_low); v_job.version_low_inclusive := version_low_inclusive;
  v_job.version_high := mcp.version_key(version_high); v_job.version_high_inclusive := version_high_inclusive;
  v_job.zone := zone; v_job.affinity_key := affinity_key;
  offered := '{}';
  is_new := not exists (select from mcp.agent_jobs j where j.id = create_agent_job.job_id);
  if is_new and not exists (
    select from mcp.agent_jobs j
     where j.tenant_id = v_job.tenant_id and j.manifest_id = v_job.manifest_id and j.state = 'queued')
  then
    select * into v_choice from mcp.select_instance(v_job, v_max, v_now);
    v_slot := v_choice.slot;
  end if;
  if is_new then
    insert into mcp.agent_jobs as j (
      id, tenant_id, manifest_id, agent_id, run_id, thread_id, input, required_capabilities, required_tags,
      version_low, version_low_inclusive, version_high, version_high_inclusive, zone, affinity_key, retry,
      max_attempts, start_within, start_by, run_within, deadline, created_at, state, registration_id, epoch,
      instance_id, holds_slot, accept_by)
    values (
      job_id, tenant_id, v_job.manifest_id, agent_id, run_id, thread_id, input, required_capabilities, required_tags,
      v_job.version_low, version_low_inclusive, v_job.version_high, version_high_inclusive, zone, affinity_key, retry,
      max_attempts, start_within, v_now + start_within, run_within, v_now + run_within, v_now,
      case when v_slot.registration_id is null then 'queued' else 'offered' end, v_slot.registration_id, v_slot.epoch,
      v_slot.instance_id, v_slot.registration_id is not null,
      case when v_slot.registration_id is not null then v_now + mcp.job_accept_within() end)
    on conflict (id) do nothing;
    is_new := found;
  end if;
  if is_new and v_slot.registration_id is not null then
    perform mcp.record_offer(v_job, v_slot, v_choice.chosen_by, v_now);
    offered := array[v_slot.registration_id];
    perform mcp.notify_jobs('agent_offers', offered);
  elsif is_new then
    offered := (select d.offered from mcp.dispatch_set(tenant_id, v_job.manifest_id, 100, v_now) d);
    if start_within = interval '0' then
      perform mcp.end_queued_job(job_id, 'expired', mcp.no_instance(agent_id), v_now);
    end if;
  end if;
  select j.id, j.state, j.tenant_id into id, state, v_owner from mcp.agent_jobs j where j.id = create_agent_job.job_id;
  if v_owner is distinct from create_agent_job.tenant_id then
    raise exception 'there is another job %', job_id using errcode = '23505', column = 'job_id';
  end if;
  return next;
end $$;
comment on function mcp.create_agent_job is
  'Create a job and offer it to an instance, if one can take it. A repeated job_id changes nothing. '
  'start_within: how long it may wait for an instance that accepts it; 0: not at all. run_within: how long it may take '
  'in all. For both, null is without limit. offered: registrations that got offers.';

create function mcp.no_instance(agent_id text) returns jsonb language sql immutable as $$
  select jsonb_build_object(
    'error', 'no_instance', 'message', format('No instance of agent %L took the job in time.', agent_id))
$$;
comment on function mcp.no_instance is 'Return the error of a job that no instance took in time.';

create function mcp.requeue_or_fail(job mcp.agent_jobs, outcome text, detail text, at timestamptz) returns text
language plpgsql as $$
declare
  v_state text := case
    when job.cancel_by is not null then 'cancelled'
    when job.deadline <= at then 'expired'
    when job.attempt >= job.max_attempts then 'failed'
    when job.retry = 'always' or (job.retry = 'if_silent' and not job.has_output) then 'queued'
    else 'failed' end;
begin
  perform mcp.free_slot(job);
  perform mcp.end_offer(job.id, outcome, detail, at);
  if v_state = 'queued' then
    update mcp.agent_jobs j
       set state = 'queued', attempt = j.attempt + 1, registration_id = null, epoch = null, instance_id = null,
           holds_slot = false, accept_by = null, lease_expires_at = null, applied_through = 0, event_bytes = 0,
           start_by = at + j.start_within
     where j.id = job.id and j.state = 'running';
  else
    update mcp.agent_jobs j
       set state = v_state, ended_at = at, holds_slot = false, lease_expires_at = null,
           error = case v_state
             when 'failed' then jsonb_build_object(
               'error', 'instance_lost', 'instance_id', job.instance_id,
               'message', format('The instance %L of agent %L was lost (%s).', job.instance_id, job.agent_id, detail))
             when 'expired' then mcp.deadline_exceeded(job.agent_id) end
     where j.id = job.id and j.state = 'running';
  end if;
  return v_state;
end $$;
comment on function mcp.requeue_or_fail is
  'Take a running job from its instance, and queue it again if its policy allows, else end it. The caller has locked '
  'the slots and the job. Return the new state.';

create function mcp.deadline_exceeded(agent_id text) returns jsonb language sql immutable as $$
  select jsonb_build_object(
    'error', 'deadline_exceeded', 'message', format('The job of agent %L did not end in time.', agent_id))
$$;
comment on function mcp.deadline_exceeded is 'Return the error of a job whose deadline has passed.';

create function mcp.withdraw_offer(job mcp.agent_jobs, outcome text, detail text, at timestamptz) returns void
language plpgsql as $$
begin
  perform mcp.free_slot(job);
  perform mcp.end_offer(job.id, outcome, detail, at);
  update mcp.agent_jobs j
     set state = 'queued', registration_id = null, epoch = null, instance_id = null, holds_slot = false,
         accept_by = null
   where j.id = job.id and j.state = 'offered';
end $$;
comment on function mcp.withdraw_offer is
  'Queue a job again that was offered and not accepted. The caller has locked the slots and the job.';

create function mcp.lose_job(job mcp.agent_jobs, outcome text, detail text, at timestamptz) returns void
language plpgsql as $$
begin
  if job.state = 'offered' then
    perform mcp.withdraw_offer(job, outcome, detail, at);
  elsif job.state = 'running' then
    perform mcp.requeue_or_fail(job, outcome, detail, at);
  else -- it ended, and its instance has not answered
    perform mcp.free_slot(job);
    update mcp.agent_jobs j set holds_slot = false, lease_expires_at = null where j.id = job.id;
  end if;
end $$;
comment on function mcp.lose_job is 'Take a job from its instance. The caller has locked the slots and the job.';

create function mcp.lose_jobs_of(registration_ids uuid[], detail text, at timestamptz) returns void
language plpgsql as $$
declare
  v_job mcp.agent_jobs;
begin
  perform from mcp.agent_slots s
    where s.registration_id = any (registration_ids) order by s.registration_id for update;
  if not found then
    return;
  end if;
  for v_job in
    select * from mcp.agent_jobs j
     where j.registration_id = any (registration_ids) and j.holds_slot order by j.id for update
  loop
    perform mcp.lose_job(v_job, 'lost', detail, at);
    perform mcp.notify_jobs('agent_jobs', array[v_job.id], is_rare => true);
  end loop;
  delete from mcp.agent_slots s where s.registration_id = any (registration_ids);
end $$;
comment on function mcp.lose_jobs_of is 'Take all jobs from instances that end, and forget their slots.';

create or replace function mcp.end_instances(registration_ids uuid[], reason text, kind text, at timestamptz)
returns void language plpgsql as $$
begin
  -- EXECUTE makes a plan for these ids. A plan shared by one id and by ten thousand reads the whole tenant for one id.
  execute $update$
    update mcp.agent_instances i
       set registration_status = 'inactive', status_reason = $2, ended_at = $3, updated_at = $3, idempotency_key = null,
           last_seen_at = l.last_health_check
      from mcp.agent_leases l
     where l.registration_id = i.id and i.id = any ($1)$update$ using registration_ids, reason, at;
  execute 'delete from mcp.agent_leases l where l.registration_id = any ($1)' using registration_ids;
  execute 'select mcp.lose_jobs_of($1, $2, $3)' using registration_ids, coalesce(reason, kind), at;
  perform mcp.record_agent_events(kind, registration_ids, at);
end $$;

create or replace function mcp.disconnect_agent_instance(
  tenant_id uuid, registration_id uuid, epoch bigint, grace_seconds double precision, now timestamptz default null
) returns table (outcome text) language plpgsql as $$
#variable_conflict use_column
declare
  v_now    timestamptz := coalesce(disconnect_agent_instance.now, clock_timestamp());
  v_id     uuid := disconnect_agent_instance.registration_id;
  v_status text;
begin
  perform mcp.check_argument(grace_seconds between 0 and 3600, 'grace_seconds', 'must be between 0 and 3600');
  select h.outcome, h.status into outcome, v_status from mcp.lock_instance(tenant_id, v_id, epoch) h;
  if outcome = 'ok' and v_status = 'inactive' then
    outcome := 'unknown';
  elsif outcome = 'ok' then
    -- Without a keeper, an outage of the server does not revive an instance that left before it.
    update mcp.agent_leases l
       set lease_expires_at = least(l.lease_expires_at, v_now + make_interval(secs => grace_seconds)), keeper_id = null
     where l.registration_id = v_id;
    -- Nobody would receive an offer. The next registration opens the slots again.
    update mcp.agent_slots s set is_open = false where s.registration_id = v_id and s.credit is null;
    update mcp.agent_jobs j set lease_expires_at = least(j.lease_expires_at, v_now + mcp.job_disconnect_grace())
     where j.registration_id = v_id and j.holds_slot and j.epoch <= disconnect_agent_instance.epoch
       and j.state <> 'offered';
    perform mcp.record_agent_events('disconnected', array[v_id], v_now);
  end if;
  return next;
end $$;
comment on function mcp.disconnect_agent_instance is
  'Shorten the lease of an instance whose connection dropped to grace_seconds, and the leases of its jobs to '
  'mcp.job_disconnect_grace(). A registration or heartbeat extends them again. outcome: ok, superseded, or unknown (no '
  'such instance, or inactive).';

-- Slots of an instance ------------------------------------------------------------------------------------------------

create function mcp.lease_outcome(tenant_id uuid, registration_id uuid, epoch bigint) returns text
language sql stable as $$
  select coalesce(
    (select 'ok' from mcp.agent_leases l
      where l.registration_id = lease_outcome.registration_id and l.tenant_id = lease_outcome.tenant_id
        and l.epoch = lease_outcome.epoch),
    mcp.heartbeat_rejection(lease_outcome.tenant_id, lease_outcome.registration_id, lease_outcome.epoch))
$$;
comment on function mcp.lease_outcome is
  'Return ok if this epoch of a registration has a lease, else superseded or must_register.';

create function mcp.next_turn(tenant_id uuid, manifest_id uuid) returns double precision language sql stable as $$
  select coalesce((
    select s.turn from mcp.agent_slots s
     where s.tenant_id = next_turn.tenant_id and s.manifest_id = next_turn.manifest_id and s.is_open
       and s.used < s.slots
     order by s.is_degraded, s.rank, s.turn limit 1), 0)
$$;
comment on function mcp.next_turn is
  'Return the turn of the instance that is next, where a new instance joins the round. It does not catch up.';

create function mcp.ensure_slots(tenant_id uuid, registration_id uuid, epoch bigint, slots integer)
returns mcp.agent_slots language plpgsql as $$
#variable_conflict use_column
declare
  v_slot mcp.agent_slots;
begin
  insert into mcp.agent_slots as s (
    registration_id, tenant_id, manifest_id, instance_id, epoch, slots, is_open, is_degraded, zone, capabilities, tags,
    version_key, turn)
  select i.id, i.tenant_id, i.manifest_id, i.instance_id, ensure_slots.epoch, coalesce(ensure_slots.slots, 1),
         i.registration_status = 'active' and i.cordoned_at is null and l.health_status in ('healthy', 'degraded'),
         l.health_status <> 'healthy', i.zone, i.capabilities, i.tags, i.version_key,
         mcp.next_turn(i.tenant_id, i.manifest_id)
    from mcp.agent_instances i
    join mcp.agent_leases l on l.registration_id = i.id
   where i.id = ensure_slots.registration_id and i.tenant_id = ensure_slots.tenant_id
  on conflict (registration_id) do update
    set epoch = greatest(s.epoch, excluded.epoch), slots = coalesce(ensure_slots.slots, s.slots),
        is_open = excluded.is_open, is_degraded = excluded.is_degraded, zone = excluded.zone,
        capabilities = excluded.capabilities, tags = excluded.tags, version_key = excluded.version_key,
        turn = greatest(s.turn, excluded.turn)
  returning * into v_slot;
  return v_slot;
end $$;
comment on function mcp.ensure_slots is
  'Insert or update the slots of an instance, lock them, and return them. Null slots: as they are, or one.';

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

create function mcp.claim_agent_jobs(
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

create function mcp.agent_offers(registration_ids uuid[]) returns table (
  tenant_id uuid, registration_id uuid, epoch bigint, job_id uuid, attempt integer, agent_id text, run_id uuid,
  thread_id uuid, input jsonb, deadline timestamptz, accept_by timestamptz, state text, cancel_reason text,
  cancel_by timestamptz
) language sql stable as $$
  select j.tenant_id, j.registration_id, j.epoch, j.id, j.attempt, j.agent_id, j.run_id, j.thread_id,
         case when j.state = 'offered' then j.input end, j.deadline, j.accept_by, j.state, j.cancel_reason, j.cancel_by
    from mcp.agent_jobs j
   where j.registration_id = any (registration_ids) and j.holds_slot
     and (j.state = 'offered' or j.cancel_by is not null or j.ended_at is not null)
   order by j.created_at, j.id
$$;
comment on function mcp.agent_offers is
  'Return what these registrations are to be told: jobs that are offered to them, and jobs that were '
  'cancelled or ended and whose slot they have not freed.';

-- Messages of an instance ---------------------------------------------------------------------------------------------

create function mcp.lock_job(
  tenant_id uuid, job_id uuid, attempt integer, registration_id uuid, epoch bigint, with_slots boolean
) returns mcp.agent_jobs language plpgsql as $$
#variable_conflict use_column
declare
  v_job mcp.agent_jobs;
begin
  if with_slots then
    perform from mcp.agent_slots s where s.registration_id = lock_job.registration_id for update;
  end if;
  select * into v_job from mcp.agent_jobs j
   where j.id = lock_job.job_id and j.tenant_id = lock_job.tenant_id and j.attempt = lock_job.attempt
     and j.registration_id = lock_job.registration_id and j.epoch = lock_job.epoch and j.holds_slot
     for update;
  if found and not exists (
    select from mcp.agent_leases l where l.registration_id = v_job.registration_id and l.epoch = v_job.epoch)
  then
    return null; -- a later registration exists, which has not stated its jobs yet
  end if;
  return v_job;
end $$;
comment on function mcp.lock_job is
  'Lock and return the job that a message of an instance is about; null: the message is fenced (rule 2).';

create function mcp.accept_agent_job(
  tenant_id uuid, job_id uuid, attempt integer, registration_id uuid, epoch bigint, now timestamptz default null
) returns table (outcome text, lease_seconds double precision) language plpgsql as $$
#variable_conflict use_column
declare
  v_now timestamptz := coalesce(accept_agent_job.now, clock_timestamp());
  v_job mcp.agent_jobs;
begin
  perform mcp.act_for(tenant_id);
  v_job := mcp.lock_job(tenant_id, job_id, attempt, registration_id, epoch, with_slots => false);
  lease_seconds := extract(epoch from mcp.job_lease());
  outcome := case when v_job.state in ('offered', 'running') then 'ok' else 'fenced' end;
  if v_job.state = 'offered' then
    update mcp.agent_jobs j
       set state = 'running', accepted_at = v_now, accept_by = null, lease_expires_at = v_now + mcp.job_lease()
     where j.id = v_job.id and j.state = 'offered';
    update mcp.agent_job_offers o set accepted_at = v_now where o.job_id = v_job.id and o.outcome is null;
    if mcp.affinity_of(v_job) is not null then
      insert into mcp.agent_affinities as a (tenant_id, manifest_id, key, registration_id, used_on)
      values (v_job.tenant_id, v_job.manifest_id, mcp.affinity_of(v_job), v_job.registration_id, v_now::date)
      on conflict (tenant_id, manifest_id, key) do update
        set registration_id = excluded.registration_id, used_on = excluded.used_on
        where (a.registration_id, a.used_on) is distinct from (excluded.registration_id, excluded.used_on);
    end if;
  end if;
  if outcome = 'ok' then
    perform mcp.notify_jobs('agent_jobs', array[v_job.id]);
  end if;
  return next;
end $$;
comment on function mcp.accept_agent_job is
  'Accept an offer, and have the job for lease_seconds. outcome: ok (even if it was accepted before), or fenced. '
  'A fenced job was withdrawn, cancelled, or given to another instance or epoch.';

create function mcp.reject_agent_job(
  tenant_id uuid, job_id uuid, attempt integer, registration_id uuid, epoch bigint, reason text default null,
  now timestamptz default null
) returns table (outcome text, offered uuid[]) language plpgsql as $$
#variable_conflict use_column
declare
  v_now timestamptz := coalesce(reject_agent_job.now, clock_timestamp());
  v_job mcp.agent_jobs;
begin
  perform mcp.act_for(tenant_id);
  perform mcp.check_argument(coalesce(char_length(reason), 0) <= 1024, 'reason', 'must have at most 1024 characters');
  v_job := mcp.lock_job(tenant_id, job_id, attempt, registration_id, epoch, with_slots => true);
  offered := '{}';
  outcome := case when v_job.state in ('offered', 'running') then 'ok' else 'fenced' end;
  if v_job.state = 'offered' then
    perform mcp.withdraw_offer(v_job, 'rejected', reason, v_now);
  elsif v_job.state = 'running' then
    perform mcp.requeue_or_fail(v_job, 'handed_back', coalesce(reason, 'handed back'), v_now);
  elsif v_job.id is not null then
    perform mcp.lose_job(v_job, 'cancelled', reason, v_now);
  end if;
  if v_job.id is not null then
    offered := (select d.offered from mcp.dispatch_set(v_job.tenant_id, v_job.manifest_id, 2, v_now) d);
    perform mcp.notify_jobs('agent_jobs', array[v_job.id]);
  end if;
  return next;
end $$;
comment on function mcp.reject_agent_job is
  'Reject an offer, which excludes the instance from this job until it registers again. Or hand back a job that runs; '
  'it is retried if its policy allows. outcome: ok or fenced. offered: registrations that got offers.';

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

create function mcp.append_job_events(
  tenant_id uuid, job_id uuid, attempt integer, registration_id uuid, epoch bigint, first_seq integer, events text[],
  data text[], now timestamptz default null
) returns table (outcome text, applied_through integer) language plpgsql as $$
#variable_conflict use_column
declare
  v_events text[] := append_job_events.events;
  v_data   text[] := append_job_events.data;
begin
  perform mcp.act_for(tenant_id);
  perform mcp.check_argument(first_seq > 0, 'first_seq', 'must be positive');
  perform mcp.check_argument(
    cardinality(v_events) between 1 and 1000 and cardinality(v_events) = cardinality(v_data), 'events',
    'must be 1 to 1000, as many as data');
  select a.outcome, a.applied_through into outcome, applied_through
    from mcp.append_events_of_jobs(
      array[tenant_id], array[job_id], array[attempt], array[registration_id], array[epoch], array[first_seq],
      array_fill(1, array[cardinality(v_events)]), v_events, v_data, now) a;
  perform mcp.check_argument(
    outcome <> 'full', 'events', format('of this job would have more than %s bytes', mcp.max_job_events()));
  return next;
end $$;
comment on function mcp.append_job_events is
  'Store events of a running job, numbered from first_seq; the first of an attempt is 1. Events up to applied_through '
  'are dropped as repeated. It extends the lease. outcome: ok, fenced, or gap (nothing is stored: events after '
  'applied_through are missing).';

create function mcp.finish_agent_job(
  tenant_id uuid, job_id uuid, attempt integer, registration_id uuid, epoch bigint, through_seq integer default 0,
  state text default 'succeeded', result jsonb default null, error jsonb default null, interrupts jsonb default null,
  now timestamptz default null
) returns table (outcome text, applied_through integer, offered uuid[]) language plpgsql as $$
#variable_conflict use_column
declare
  v_now timestamptz := coalesce(finish_agent_job.now, clock_timestamp());
  v_job mcp.agent_jobs;
  v_end text := finish_agent_job.state;
begin
  perform mcp.act_for(tenant_id);
  perform mcp.check_argument(
    v_end in ('succeeded', 'failed', 'cancelled'), 'state', 'must be succeeded, failed or cancelled');
  perform mcp.check_argument(
    (v_end = 'failed') = (coalesce(jsonb_typeof(error), 'null') = 'object'), 'error',
    'must be an object for a job that failed, and null else');
  perform mcp.check_argument(
    interrupts is null or (v_end = 'succeeded' and jsonb_typeof(interrupts) = 'array'), 'interrupts',
    'must be an array, of a job that succeeded so far');
  offered := '{}';
  v_job := mcp.lock_job(tenant_id, job_id, attempt, registration_id, epoch, with_slots => true);
  applied_through := v_job.applied_through;
  if v_job.state = 'running' and through_seq > v_job.applied_through then
    outcome := 'gap';
    return next;
    return;
  elsif v_job.state = 'running' and v_end = 'failed' and (error -> 'retryable') = 'true' then
    outcome := 'ok';
    perform mcp.requeue_or_fail(v_job, 'failed', error ->> 'message', v_now);
    perform mcp.record_job_outcome(registration_id, false, error ->> 'message', v_now);
  elsif v_job.state = 'running' then
    outcome := 'ok';
    perform mcp.free_slot(v_job);
    perform mcp.end_offer(v_job.id, v_end, error ->> 'message', v_now);
    update mcp.agent_jobs j
       set state = v_end, ended_at = v_now, holds_slot = false, lease_expires_at = null,
           result = finish_agent_job.result, error = finish_agent_job.error, interrupts = finish_agent_job.interrupts
     where j.id = v_job.id and j.state = 'running';
    if v_end <> 'cancelled' then
      perform mcp.record_job_outcome(registration_id, v_end = 'succeeded', error ->> 'message', v_now);
    end if;
  else
    outcome := 'fenced';
    if v_job.ended_at is not null then -- it was forced to end; the instance has stopped now
      perform mcp.lose_job(v_job, 'cancelled', null, v_now);
    end if;
  end if;
  if v_job.id is not null then
    offered := (select d.offered from mcp.dispatch_set(v_job.tenant_id, v_job.manifest_id, 2, v_now) d);
    perform mcp.notify_jobs('agent_jobs', array[v_job.id]);
  end if;
  return next;
end $$;
comment on function mcp.finish_agent_job is
  'End a running job, after its events through_seq. interrupts: the job waits for answers, which come as a new job. An '
  'error with `retryable: true` is retried if the job''s policy allows. outcome: ok, fenced, or gap (events are '
  'missing; the job goes on). offered: registrations that got offers.';

create function mcp.cancel_agent_job(
  tenant_id uuid, job_id uuid, reason text default null, grace_seconds double precision default 10,
  now timestamptz default null
) returns table (outcome text, registration_id uuid) language plpgsql as $$
#variable_conflict use_column
declare
  v_now timestamptz := coalesce(cancel_agent_job.now, clock_timestamp());
  v_job mcp.agent_jobs;
begin
  perform mcp.act_for(tenant_id);
  perform mcp.check_argument(grace_seconds between 0 and 3600, 'grace_seconds', 'must be between 0 and 3600');
  perform mcp.check_argument(coalesce(char_length(reason), 0) <= 1024, 'reason', 'must have at most 1024 characters');
  perform from mcp.agent_slots s -- rule 4
    where s.registration_id = (select j.registration_id from mcp.agent_jobs j where j.id = cancel_agent_job.job_id)
    for update;
  select * into v_job from mcp.agent_jobs j
   where j.id = cancel_agent_job.job_id and j.tenant_id = cancel_agent_job.tenant_id for update;
  outcome := case
    when v_job.id is null then 'unknown'
    when v_job.ended_at is not null then 'ended'
    when v_job.state = 'running' then 'requested'
    else 'cancelled' end;
  if outcome = 'requested' then
    registration_id := v_job.registration_id;
    update mcp.agent_jobs j
       set cancel_reason = coalesce(j.cancel_reason, reason, 'cancelled'),
           cancel_by = coalesce(j.cancel_by, v_now + make_interval(secs => grace_seconds))
     where j.id = v_job.id and j.state = 'running';
    perform mcp.notify_jobs('agent_offers', array[v_job.registration_id]);
  elsif outcome = 'cancelled' then
    registration_id := v_job.registration_id;
    perform mcp.free_slot(v_job);
    perform mcp.end_offer(v_job.id, 'cancelled', reason, v_now);
    update mcp.agent_jobs j
       set state = 'cancelled', ended_at = v_now, holds_slot = false, cancel_reason = coalesce(reason, 'cancelled')
     where j.id = v_job.id and j.state in ('queued', 'offered');
    perform mcp.notify_jobs('agent_jobs', array[v_job.id]);
  end if;
  return next;
end $$;
comment on function mcp.cancel_agent_job is
  'Cancel a job. outcome: cancelled (no instance had accepted it), requested (the instance is told, and has '
  'grace_seconds to stop), ended, or unknown. registration_id: the instance to tell.';

-- Sweeping ------------------------------------------------------------------------------------------------------------

create function mcp.take_due_job(job_id uuid) returns mcp.agent_jobs language plpgsql as $$
declare
  v_registration uuid := (select j.registration_id from mcp.agent_jobs j where j.id = take_due_job.job_id);
  v_job          mcp.agent_jobs;
begin
  perform from mcp.agent_slots s where s.registration_id = v_registration for update skip locked;
  if found or not exists (select from mcp.agent_slots s where s.registration_id = v_registration) then
    select * into v_job from mcp.agent_jobs j
     where j.id = take_due_job.job_id and j.registration_id = v_registration and j.holds_slot for update skip locked;
  end if;
  return v_job;
end $$;
comment on function mcp.take_due_job is
  'Lock a job that an instance has, with the slots, without waiting. Null: another transaction has it, or it changed.';

create function mcp.sweep_assigned_job(job_id uuid, at timestamptz, out changed boolean, out told uuid)
language plpgsql as $$
declare
  v_job mcp.agent_jobs := mcp.take_due_job(job_id);
begin
  changed := true;
  if v_job.state = 'offered' and (v_job.accept_by <= at or v_job.deadline <= at) then
    perform mcp.withdraw_offer(v_job, 'silent', 'not accepted in time', at);
    perform mcp.record_job_outcome(v_job.registration_id, false, 'an offer was not accepted in time', at);
  elsif v_job.lease_expires_at <= at then
    perform mcp.lose_job(v_job, 'lost', 'its lease expired', at);
    perform mcp.record_job_outcome(v_job.registration_id, false, 'the lease of a job expired', at);
  elsif v_job.state = 'running' and (v_job.deadline <= at or v_job.cancel_by <= at) then
    -- The slot stays taken until the instance answers or the lease ends.
    told := v_job.registration_id;
    perform mcp.end_offer(v_job.id, case when v_job.cancel_by <= at then 'cancelled' else 'expired' end, 'forced', at);
    update mcp.agent_jobs j
       set state = case when j.cancel_by <= at then 'cancelled' else 'expired' end, ended_at = at,
           error = case when j.cancel_by <= at then null else mcp.deadline_exceeded(j.agent_id) end
     where j.id = v_job.id and j.state = 'running';
  else
    changed := false;
  end if;
end $$;
comment on function mcp.sweep_assigned_job is
  'Apply what is due for a job that an instance has: an offer without an answer, a lapsed lease, a deadline, the end '
  'of a cancellation''s grace.';

create function mcp.sweep_agent_jobs(now timestamptz default null, max_rows integer default 1000)
returns table (changed uuid[], told uuid[], offered uuid[], skipped boolean) language plpgsql as $$
#variable_conflict use_column
declare
  v_now  timestamptz := coalesce(sweep_agent_jobs.now, clock_timestamp());
  v_id   uuid;
  v_one  record;
  v_set  record;
  v_sent record;
begin
  changed := '{}'; told := '{}'; offered := '{}';
  skipped := not pg_try_advisory_xact_lock(7168880, 4);
  if skipped then
    return next;
    return;
  end if;
  for v_id in
    select j.id from mcp.agent_jobs j
     where j.holds_slot and (j.accept_by <= v_now or j.lease_expires_at <= v_now
           or (j.ended_at is null and (j.deadline <= v_now or j.cancel_by <= v_now)))
     limit max_rows
  loop
    select * into v_one from mcp.sweep_assigned_job(v_id, v_now);
    changed := case when v_one.changed then changed || v_id else changed end;
    told := case when v_one.told is not null then told || v_one.told else told end;
  end loop;
  for v_set in
    with recursive sets as (
      (select j.tenant_id, j.manifest_id from mcp.agent_jobs j where j.state = 'queued'
        order by j.tenant_id, j.manifest_id limit 1)
      union all
      select n.tenant_id, n.manifest_id from sets s cross join lateral (
        select j.tenant_id, j.manifest_id from mcp.agent_jobs j
         where j.state = 'queued' and (j.tenant_id, j.manifest_id) > (s.tenant_id, s.manifest_id)
         order by j.tenant_id, j.manifest_id limit 1) n)
    select * from sets
  loop
    select * into v_sent from mcp.dispatch_set(v_set.tenant_id, v_set.manifest_id, max_rows, v_now);
    offered := offered || v_sent.offered;
    changed := changed || v_sent.changed;
  end loop;
  for v_one in
    (select j.id, j.agent_id, j.deadline from mcp.agent_jobs j
      where j.state = 'queued' and j.start_by <= v_now order by j.start_by limit max_rows)
    union
    (select j.id, j.agent_id, j.deadline from mcp.agent_jobs j
      where j.state = 'queued' and j.deadline <= v_now order by j.deadline limit max_rows)
  loop
    if mcp.end_queued_job(v_one.id, 'expired', case
      when v_one.deadline <= v_now then mcp.deadline_exceeded(v_one.agent_id)
      else mcp.no_instance(v_one.agent_id) end, v_now)
    then
      changed := changed || v_one.id;
    end if;
  end loop;
  perform mcp.notify_jobs('agent_jobs', changed);
  perform mcp.notify_jobs('agent_offers', told);
  return next;
end $$;
comment on function mcp.sweep_agent_jobs is
  'Apply what is due, at most max_rows of each kind, and offer what is queued. Due are offers without an answer, '
  'lapsed leases, deadlines, forced cancellations, and jobs that no instance took in time. Call it each second, as '
  'agenthall_system or as the owner. changed: jobs whose state changed. told: registrations to tell. offered: '
  'registrations that got offers. skipped: another session is sweeping.';

create function mcp.delete_ended_jobs(now timestamptz default null, max_rows integer default 1000) returns integer
language plpgsql as $$
declare
  v_now   timestamptz := coalesce(delete_ended_jobs.now, clock_timestamp());
  v_count integer;
begin
  delete from mcp.agent_jobs j where j.id = any (array(
    select e.id from mcp.agent_jobs e where e.ended_at <= v_now - mcp.retention_jobs() and not e.holds_slot
     order by e.ended_at limit max_rows for update skip locked));
  get diagnostics v_count = row_count;
  delete from mcp.agent_affinities a where (a.tenant_id, a.manifest_id, a.key) in (
    select o.tenant_id, o.manifest_id, o.key from mcp.agent_affinities o
     where o.used_on < (v_now - interval '7 days')::date limit max_rows for update skip locked);
  return v_count;
end $$;
comment on function mcp.delete_ended_jobs is
  'Delete jobs that ended mcp.retention_jobs() ago, and affinities that were not used for a week; at most max_rows. '
  'Return the number of jobs.';
