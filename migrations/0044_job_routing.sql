-- Choose the instance for a job: circuit breakers, selection and dispatch.
-- Circuit breaker -----------------------------------------------------------------------------------------------------

-- closed: ejected_until is null. The instance gets jobs. The third failure in a row opens the breaker.
-- open: ejected_until is in the future. The instance gets no jobs. A failure of an older job changes nothing.
-- half_open: ejected_until has passed. The instance gets one job as a probe. A failure opens the breaker for longer.
-- In every state a success closes the breaker.
create function mcp.breaker_state(s mcp.agent_slots, at timestamptz) returns text language sql immutable as $$
  select case when s.ejected_until is null then 'closed' when s.ejected_until > at then 'open' else 'half_open' end
$$;
comment on function mcp.breaker_state is
  'Return the state of an instance''s circuit breaker: closed, open or half_open.';

create function mcp.record_job_outcome(registration_id uuid, is_success boolean, reason text, at timestamptz)
returns void language plpgsql as $$
#variable_conflict use_column
declare
  v_slot  mcp.agent_slots;
  v_open  bigint;
  v_total bigint;
begin
  select * into v_slot from mcp.agent_slots s where s.registration_id = record_job_outcome.registration_id for update;
  if v_slot.registration_id is null then
    return;
  elsif is_success then
    update mcp.agent_slots s set failures = 0, ejections = 0, ejected_until = null, ejection_reason = null
     where s.registration_id = v_slot.registration_id
       and (s.failures > 0 or s.ejections > 0 or s.ejected_until is not null);
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
     where s.registration_id = v_slot.registration_id;
  else
    update mcp.agent_slots s set failures = 3 where s.registration_id = v_slot.registration_id;
  end if;
end $$;
comment on function mcp.record_job_outcome is
  'Count the end of a job for the circuit breaker of its instance; no other function does. The third failure in a row, '
  'or a failed probe, ejects the instance for 10 s, then 20 s, … 300 s, unless half of the set is ejected already.';

-- Selection -----------------------------------------------------------------------------------------------------------

create function mcp.has_required(s mcp.agent_slots, job mcp.agent_jobs) returns boolean
language sql immutable parallel safe as $$
  select s.capabilities @> job.required_capabilities and s.tags @> job.required_tags
     and (job.version_low is null or s.version_key > job.version_low collate "C"
          or (job.version_low_inclusive and s.version_key = job.version_low))
     and (job.version_high is null or s.version_key < job.version_high collate "C"
          or (job.version_high_inclusive and s.version_key = job.version_high))
$$;
comment on function mcp.has_required is 'Return whether an instance has what a job requires.';

create function mcp.has_room(s mcp.agent_slots, max_workload integer, at timestamptz) returns boolean
language sql immutable parallel safe as $$
  select s.is_open and s.used < s.slots and (max_workload is null or s.used < max_workload)
     and (s.credit is null or (s.credit > 0 and s.polls_until > at))
     and (s.ejected_until is null or (s.ejected_until <= at and s.used = 0))
$$;
comment on function mcp.has_room is
  'Return whether an instance may be given a job: it is open, has a free slot, and is not ejected, or gets a probe.';

create function mcp.may_take(s mcp.agent_slots, job mcp.agent_jobs, at timestamptz) returns boolean
language plpgsql stable cost 10000 as $$
begin
  return exists (
    select from mcp.agent_leases l
      join mcp.agent_instances i on i.id = l.registration_id
      left join mcp.lease_keepers k on k.id = l.keeper_id
     where l.registration_id = s.registration_id and l.epoch = s.epoch and mcp.is_alive(l, k, at)
       and i.registration_status = 'active')
   and not exists (
    select from mcp.agent_job_offers o
     where o.job_id = job.id and o.registration_id = s.registration_id and o.epoch = s.epoch
       and o.outcome is distinct from 'failed');
end $$;
comment on function mcp.may_take is
  'Return whether an instance is alive, and did not reject, miss or lose this job since its last registration. The '
  'planner evaluates it last, because it reads other tables.';

create function mcp.affinity_of(job mcp.agent_jobs) returns text language sql immutable parallel safe as
$$ select coalesce(job.affinity_key, job.thread_id::text) $$;
comment on function mcp.affinity_of is 'Return the affinity key of a job; null: it has none.';

create function mcp.select_instance(
  job mcp.agent_jobs, max_workload integer, at timestamptz, out slot mcp.agent_slots, out chosen_by text
) language plpgsql as $$
begin
  if mcp.affinity_of(job) is not null then
    chosen_by := 'affinity';
    select s.* into slot
      from mcp.agent_affinities a
      join mcp.agent_slots s on s.registration_id = a.registration_id
     where a.tenant_id = job.tenant_id and a.manifest_id = job.manifest_id and a.key = mcp.affinity_of(job)
       and mcp.has_room(s, max_workload, at) and mcp.has_required(s, job) and mcp.may_take(s, job, at)
       for update of s skip locked;
    if slot.registration_id is not null then
      return;
    end if;
  end if;
  if job.affinity_key is not null then
    chosen_by := 'rendezvous';
    select s.* into slot
      from (select n.registration_id, hashtextextended(n.instance_id, hashtextextended(job.affinity_key, 0)) as weight
              from mcp.agent_slots n
             where n.tenant_id = job.tenant_id and n.manifest_id = job.manifest_id and n.is_open and n.used < n.slots
             order by 2 desc limit 20) as heaviest
      join mcp.agent_slots s on s.registration_id = heaviest.registration_id
     where mcp.has_room(s, max_workload, at) and mcp.has_required(s, job) and mcp.may_take(s, job, at)
     order by heaviest.weight desc limit 1
       for update of s skip locked;
    if slot.registration_id is not null then
      return;
    end if;
  end if;
  if job.zone is not null then
    chosen_by := 'zone';
    select s.* into slot from mcp.agent_slots s
     where s.tenant_id = job.tenant_id and s.manifest_id = job.manifest_id and s.is_open and s.used < s.slots
       and s.zone = job.zone and not s.is_degraded
       and mcp.has_room(s, max_workload, at) and mcp.has_required(s, job) and mcp.may_take(s, job, at)
     order by s.is_degraded, s.rank, s.turn limit 1
       for update skip locked;
    if slot.registration_id is not null then
      return;
    end if;
  end if;
  chosen_by := 'least_used';
  select s.* into slot from mcp.agent_slots s
   where s.tenant_id = job.tenant_id and s.manifest_id = job.manifest_id and s.is_open and s.used < s.slots
     and mcp.has_room(s, max_workload, at) and mcp.has_required(s, job) and mcp.may_take(s, job, at)
   order by s.is_degraded, s.rank, s.turn limit 1
     for update skip locked;
end $$;
comment on function mcp.select_instance is
  'Choose and lock the slots of the instance for a job. First the instance that had the last job of the affinity key; '
  'for a new key that was given, one by rendezvous hashing. Then a healthy instance in the preferred zone. Then '
  'healthy ones before degraded ones, by the used share of their slots, then in a weighted round. Null: none can take '
  'it now.';

create function mcp.circuit_opens_at(tenant_id uuid, manifest_id uuid, at timestamptz) returns timestamptz
language sql stable as $$
  select s.ejected_until from mcp.agent_slots s
   where s.tenant_id = circuit_opens_at.tenant_id and s.manifest_id = circuit_opens_at.manifest_id and s.is_open
     and s.ejected_until > at
     and not exists (
       select from mcp.agent_slots o
        where o.tenant_id = circuit_opens_at.tenant_id and o.manifest_id = circuit_opens_at.manifest_id and o.is_open
          and (o.ejected_until is null or o.ejected_until <= at))
   order by s.ejected_until limit 1
$$;
comment on function mcp.circuit_opens_at is
  'Return when the first instance of a set may be tried again, if all that could take work are ejected; else null.';

create function mcp.conditions_of(job mcp.agent_jobs) returns text language sql stable as $$
  select case
    when exists (select from mcp.agent_job_offers o where o.job_id = job.id) then job.id::text
    when job.required_capabilities = '{}' and job.required_tags = '{}'
     and job.version_low is null and job.version_high is null then ''
    else row(job.required_capabilities, job.required_tags, job.version_low, job.version_low_inclusive,
             job.version_high, job.version_high_inclusive)::text end
$$;
comment on function mcp.conditions_of is
  'Return the conditions of a job on its instance: equal texts are met by the same instances. Empty: any instance.';

create function mcp.record_offer(job mcp.agent_jobs, slot mcp.agent_slots, chosen_by text, at timestamptz)
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
end $$;
comment on function mcp.record_offer is
  'Count an offer in the slots of its instance, which select_instance has locked, and record it.';

create function mcp.dispatch_set(
  tenant_id uuid, manifest_id uuid, max_jobs integer, at timestamptz, out offered uuid[], out changed uuid[]
) language plpgsql as $$
#variable_conflict use_column
declare
  v_max     integer;
  v_enabled boolean;
  v_job     mcp.agent_jobs;
  v_choice  record;
  v_slot    mcp.agent_slots;
  v_retry   timestamptz;
  v_unmet   text[] := '{}'; -- conditions for which there is no instance now
  v_left    integer := max_jobs;
begin
  offered := '{}'; changed := '{}';
  perform from mcp.agent_jobs j
    where j.tenant_id = dispatch_set.tenant_id and j.manifest_id = dispatch_set.manifest_id and j.state = 'queued'
    limit 1;
  if not found then
    return;
  end if;
  select c.max_workload, c.enabled into v_max, v_enabled from mcp.agent_configurations c
   where c.tenant_id = dispatch_set.tenant_id and c.manifest_id = dispatch_set.manifest_id;
  if v_enabled is not true then
    return;
  end if;
  for v_job in
    select * from mcp.agent_jobs j
     where j.tenant_id = dispatch_set.tenant_id and j.manifest_id = dispatch_set.manifest_id and j.state = 'queued'
     order by j.created_at, j.id limit 1000
  loop
    continue when mcp.conditions_of(v_job) = any (v_unmet);
    select * into v_choice from mcp.select_instance(v_job, v_max, at);
    v_slot := v_choice.slot;
    if v_slot.registration_id is null then
      v_retry := mcp.circuit_opens_at(tenant_id, manifest_id, at);
      if v_retry is not null then
        perform mcp.end_queued_job(v_job.id, 'failed', jsonb_build_object(
          'error', 'circuit_open', 'retry_after', ceil(extract(epoch from v_retry - at)),
          'message', format('All instances of agent %L failed lately and are not tried now.', v_job.agent_id)), at);
        changed := changed || v_job.id;
        continue;
      end if;
      v_unmet := v_unmet || mcp.conditions_of(v_job);
      exit when mcp.conditions_of(v_job) = '' or cardinality(v_unmet) > 50;
      continue;
    end if;
    perform from mcp.agent_jobs j where j.id = v_job.id and j.state = 'queued' for update skip locked;
    continue when not found; -- another process has it
    update mcp.agent_jobs j
       set state = 'offered', registration_id = v_slot.registration_id, epoch = v_slot.epoch,
           instance_id = v_slot.instance_id, holds_slot = true, accept_by = at + mcp.job_accept_within()
     where j.id = v_job.id and j.state = 'queued';
    perform mcp.record_offer(v_job, v_slot, v_choice.chosen_by, at);
    offered := offered || v_slot.registration_id;
    v_left := v_left - 1;
    exit when v_left <= 0;
  end loop;
  perform mcp.notify_jobs('agent_offers', offered);
  perform mcp.notify_jobs('agent_jobs', changed);
end $$;
comment on function mcp.dispatch_set is
  'Offer at most max_jobs queued jobs of a set (one type of agent of one tenant) to instances, the oldest first. '
  'Return the registrations that got offers, and the jobs that ended because the circuit is open.';

create function mcp.dispatch_agent_jobs(
  tenant_id uuid, agent_id text, max_jobs integer default 100, now timestamptz default null
) returns table (offered uuid[], changed uuid[]) language plpgsql as $$
#variable_conflict use_column
begin
  perform mcp.act_for(tenant_id);
  perform mcp.check_argument(max_jobs between 1 and 1000, 'max_jobs', 'must be between 1 and 1000');
  return query
    select d.offered, d.changed
      from mcp.agent_configurations c
     cross join lateral mcp.dispatch_set(c.tenant_id, c.manifest_id, max_jobs, coalesce(now, clock_timestamp())) d
     where c.tenant_id = dispatch_agent_jobs.tenant_id and c.agent_id = dispatch_agent_jobs.agent_id;
end $$;
comment on function mcp.dispatch_agent_jobs is
  'Offer queued jobs of an agent to its instances. Functions that create a job or free a slot do so themselves.';
