-- Dispatch queued jobs by their conditions, so that jobs for which there is no instance do not hold up others.
--
-- Rules
--   1. Equal conditions are met by the same instances: what a job requires, and the registrations that rejected, missed
--      or lost it. The oldest job of each set of conditions stands for those behind it.
--   2. A job gets its conditions when it is queued. They do not change while it waits.
--   3. Of all sets of conditions, the oldest job that some instance can take goes first. A dispatch looks at no more
--      than 31 sets of conditions of one type of agent, other ones each time.
--   4. The next job of a set of conditions is asked for by an order that only agent_jobs_queue has. With an equality
--      the planner may choose the index of the tenant's jobs, and read all that are queued.

alter table mcp.agent_jobs add column conditions uuid not null default '00000000-0000-0000-0000-000000000000';
comment on column mcp.agent_jobs.conditions is
  'for a queued job, a hash of the conditions on its instance; zeros: any instance';

drop function mcp.conditions_of(mcp.agent_jobs);
create function mcp.conditions_of(job mcp.agent_jobs) returns uuid language sql stable as $$
  select case
    when job.required_capabilities = '{}' and job.required_tags = '{}' and job.version_low is null
     and job.version_high is null and o.tried is null then '00000000-0000-0000-0000-000000000000'
    else md5(row(job.required_capabilities, job.required_tags, job.version_low, job.version_low_inclusive,
                 job.version_high, job.version_high_inclusive, o.tried)::text)::uuid end
    from (select array_agg(distinct row(o.registration_id, o.epoch)::text) as tried from mcp.agent_job_offers o
           where o.job_id = job.id and o.outcome is distinct from 'failed') o
$$;
comment on function mcp.conditions_of is
  'Return a hash of the conditions of a job on its instance: what it requires, and the registrations that mcp.may_take '
  'excludes. Zeros: any instance.';

create function mcp.set_job_conditions() returns trigger language plpgsql as $$
begin
  new.conditions := mcp.conditions_of(new);
  return new;
end $$;
comment on function mcp.set_job_conditions is 'Trigger: set the conditions of a job that is queued.';
create trigger agent_jobs_conditions_new before insert on mcp.agent_jobs
  for each row when (new.state = 'queued') execute function mcp.set_job_conditions();
create trigger agent_jobs_conditions before update of state on mcp.agent_jobs
  for each row when (new.state = 'queued') execute function mcp.set_job_conditions();

update mcp.agent_jobs j set conditions = mcp.conditions_of(j) where j.state = 'queued';
drop index mcp.agent_jobs_queue;
create index agent_jobs_queue on mcp.agent_jobs (tenant_id, manifest_id, conditions, created_at, id)
  where state = 'queued';

create function mcp.any_instance() returns uuid language sql immutable parallel safe as
$$ select '00000000-0000-0000-0000-000000000000'::uuid $$;
comment on function mcp.any_instance is 'Return the conditions of a job that any instance may take.';

create function mcp.queued_conditions(tenant_id uuid, manifest_id uuid) returns uuid[] language plpgsql as $$
declare
  v_next uuid := mcp.any_instance();
  v_all  uuid[] := '{}';
begin
  if not exists (
    select from mcp.agent_jobs j
     where j.tenant_id = queued_conditions.tenant_id and j.manifest_id = queued_conditions.manifest_id
       and j.state = 'queued' and j.conditions > v_next)
  then
    return array[v_next];
  end if;
  v_next := gen_random_uuid();
  loop
    v_next := coalesce(
      (select j.conditions from mcp.agent_jobs j
        where j.tenant_id = queued_conditions.tenant_id and j.manifest_id = queued_conditions.manifest_id
          and j.state = 'queued' and j.conditions > v_next
        order by j.conditions limit 1),
      (select j.conditions from mcp.agent_jobs j
        where j.tenant_id = queued_conditions.tenant_id and j.manifest_id = queued_conditions.manifest_id
          and j.state = 'queued'
        order by j.conditions limit 1));
    exit when v_next is null or v_next = any (v_all);
    v_all := v_all || v_next;
    exit when cardinality(v_all) = 30;
  end loop;
  return case when mcp.any_instance() = any (v_all) then v_all else v_all || mcp.any_instance() end;
end $$;
comment on function mcp.queued_conditions is
  'Return mcp.any_instance() and the other conditions of the queued jobs of a set: of more than 30, other ones each '
  'time. Each costs one look at the index.';

create function mcp.end_circuit_open(tenant_id uuid, manifest_id uuid, retry_at timestamptz, at timestamptz)
returns uuid[] language plpgsql as $$
#variable_conflict use_column
declare
  v_job   mcp.agent_jobs;
  v_ended uuid[] := '{}';
begin
  for v_job in
    select * from mcp.agent_jobs j
     where j.tenant_id = end_circuit_open.tenant_id and j.manifest_id = end_circuit_open.manifest_id
       and j.state = 'queued' limit 1000
  loop
    perform mcp.end_queued_job(v_job.id, 'failed', jsonb_build_object(
      'error', 'circuit_open', 'retry_after', ceil(extract(epoch from retry_at - at)),
      'message', format('All instances of agent %L failed lately and are not tried now.', v_job.agent_id)), at);
    v_ended := v_ended || v_job.id;
  end loop;
  return v_ended;
end $$;
comment on function mcp.end_circuit_open is
  'Fail at most 1,000 queued jobs of a set whose instances are all ejected until retry_at. Return them.';

create or replace function mcp.dispatch_set(
  tenant_id uuid, manifest_id uuid, max_jobs integer, at timestamptz, out offered uuid[], out changed uuid[]
) language plpgsql as $$
#variable_conflict use_column
declare
  v_max        integer;
  v_enabled    boolean;
  v_retry      timestamptz;
  v_conditions uuid[]; -- for which there may be an instance
  v_job        mcp.agent_jobs;
  v_choice     record;
  v_slot       mcp.agent_slots;
  v_created_at timestamptz := '-infinity';
  v_id         uuid := '00000000-0000-0000-0000-000000000000';
  v_left       integer := max_jobs;
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
  v_conditions := mcp.queued_conditions(tenant_id, manifest_id);
  while v_left > 0 loop
    select oldest.* into v_job
      from unnest(v_conditions) as u(conditions)
     cross join lateral (
       select * from mcp.agent_jobs j
        where j.tenant_id = dispatch_set.tenant_id and j.manifest_id = dispatch_set.manifest_id
          and j.state = 'queued' and j.conditions <= u.conditions -- see rule 4
          and (j.conditions, j.created_at, j.id) > (u.conditions, v_created_at, v_id)
        order by j.conditions, j.created_at, j.id limit 1) oldest
     order by oldest.created_at, oldest.id limit 1;
    exit when not found;
    v_created_at := v_job.created_at; v_id := v_job.id;
    select * into v_choice from mcp.select_instance(v_job, v_max, at);
    v_slot := v_choice.slot;
    if v_slot.registration_id is null then
      v_retry := mcp.circuit_opens_at(tenant_id, manifest_id, at);
      if v_retry is not null then
        changed := mcp.end_circuit_open(tenant_id, manifest_id, v_retry, at);
        exit;
      end if;
      exit when v_job.conditions = mcp.any_instance();
      v_conditions := array_remove(v_conditions, v_job.conditions);
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
  end loop;
  perform mcp.notify_jobs('agent_offers', offered);
  perform mcp.notify_jobs('agent_jobs', changed);
end $$;
