-- Create the tables of jobs: work for instances that dialled in.
--
-- Rules
--   1. mcp.agent_job_transitions() has all changes of a job's state; a trigger refuses every other change. A function
--      changes a state in one UPDATE of a row that it has locked in the state which it leaves. A new job is queued, or
--      offered at once when no other job of its set is queued.
--   2. A message of an instance names the job, the attempt, the registration and its epoch. A message that does not
--      match all four is `fenced` and changes nothing.
--   3. agent_slots.used is the number of jobs with holds_slot of that registration. Both change in one transaction.
--   4. Locks are taken in one order: instance, lease, slots, job. A statement that does not wait (SKIP LOCKED) may take
--      them in any order. Jobs in the queue are locked without their slots, because they have none.
--   5. An instance is chosen for a job, never a job for an instance. All transports have the same choice, and any
--      process may make it.
--   6. attempt counts accepted executions. An offer that is not accepted is no attempt.
--   7. Functions that are called often return the registrations and jobs to notify, and the server notifies after the
--      commit. With mcp.notify_events on, as in psql, they notify themselves.

-- Settings ------------------------------------------------------------------------------------------------------------

create function mcp.job_lease() returns interval language sql stable parallel safe as
$$ select coalesce(nullif(current_setting('mcp.job_lease', true), ''), '30 seconds')::interval $$;
comment on function mcp.job_lease is
  'How long an instance has a job after it accepted or extended it (setting mcp.job_lease, default 30 s).';
create function mcp.job_accept_within() returns interval language sql stable parallel safe as
$$ select coalesce(nullif(current_setting('mcp.job_accept_within', true), ''), '2 seconds')::interval $$;
comment on function mcp.job_accept_within is
  'How long an instance has to accept an offer (setting mcp.job_accept_within, default 2 s).';
create function mcp.job_disconnect_grace() returns interval language sql stable parallel safe as
$$ select coalesce(nullif(current_setting('mcp.job_disconnect_grace', true), ''), '3 seconds')::interval $$;
comment on function mcp.job_disconnect_grace is
  'How long an instance keeps its jobs after its connection dropped (setting mcp.job_disconnect_grace, default 3 s).';
create function mcp.retention_jobs() returns interval language sql stable parallel safe as
$$ select coalesce(nullif(current_setting('mcp.retention_jobs', true), ''), '1 day')::interval $$;
comment on function mcp.retention_jobs is
  'How long a job that has ended is kept as history (setting mcp.retention_jobs, default 1 day).';
create function mcp.max_job_events() returns bigint language sql stable parallel safe as
$$ select coalesce(nullif(current_setting('mcp.max_job_events', true), ''), '67108864')::bigint $$;
comment on function mcp.max_job_events is
  'How many bytes of events one attempt of a job may have (setting mcp.max_job_events, default 64 MiB).';

-- Tables --------------------------------------------------------------------------------------------------------------

create function mcp.agent_job_transitions() returns table (former text, latter text, reason text)
language sql immutable parallel safe as $$
  values
    ('queued', 'offered', 'an instance is chosen'),
    ('queued', 'failed', 'no instance may be tried: the circuit is open'),
    ('queued', 'cancelled', 'it is cancelled'),
    ('queued', 'expired', 'no instance took it in time'),
    ('offered', 'running', 'the instance accepts'),
    ('offered', 'queued', 'the instance rejects, is silent, or is lost'),
    ('offered', 'cancelled', 'it is cancelled'),
    ('running', 'succeeded', 'the instance finishes it'),
    ('running', 'failed', 'the instance reports an error, or is lost and the job may not be retried'),
    ('running', 'queued', 'the instance is lost or hands the job back, and the job may be retried'),
    ('running', 'cancelled', 'the instance has stopped, or did not stop in time'),
    ('running', 'expired', 'its deadline passed')
$$;
comment on function mcp.agent_job_transitions is 'Return the changes of a job''s state that are possible.';

create table mcp.agent_slots (
  registration_id uuid primary key,
  tenant_id       uuid not null,
  manifest_id     uuid not null,
  instance_id     text not null,
  epoch           bigint not null,
  slots           integer not null,
  used            integer not null default 0,
  is_open         boolean not null,
  is_degraded     boolean not null,
  zone            text,
  capabilities    text[] not null default '{}',
  tags            text[] not null default '{}',
  version_key     text collate "C",
  credit          integer,
  polls_until     timestamptz,
  failures        integer not null default 0,
  ejections       integer not null default 0,
  ejected_until   timestamptz,
  ejection_reason text,
  share           double precision not null
    generated always as (used::double precision / greatest(slots, 1)) stored,
  rank            double precision not null
    generated always as (case when used = 0 then 0 else (used + 0.5) / greatest(slots, 1) end) stored,
  turn            double precision not null default 0,
  foreign key (tenant_id, registration_id) references mcp.agent_instances (tenant_id, id) on delete cascade,
  constraint agent_slots_slots check (slots between 0 and 1000),
  constraint agent_slots_used check (used >= 0),
  constraint agent_slots_credit check (credit >= 0 and (credit is null) = (polls_until is null))
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
comment on table mcp.agent_slots is 'Instances that take jobs: how many they take and have, and their circuit breaker.';
comment on column mcp.agent_slots.epoch is 'registration that stated the slots; an older one gets no offers';
comment on column mcp.agent_slots.slots is 'jobs that the instance takes at a time; the configuration may allow fewer';
comment on column mcp.agent_slots.used is 'jobs that it was given and that have not freed their slot';
comment on column mcp.agent_slots.is_open is
  'it is active and not cordoned, and its health lets it take work; a cordoned instance finishes the jobs that it has';
comment on column mcp.agent_slots.capabilities is 'that of the instance, as are zone, tags and version_key';
comment on column mcp.agent_slots.credit is
  'offers that the last poll asked for and that were not made yet; null: offers are pushed';
comment on column mcp.agent_slots.polls_until is 'until when a poll waits; null: offers are pushed';
comment on column mcp.agent_slots.failures is 'consecutive failures and timeouts';
comment on column mcp.agent_slots.ejections is 'consecutive ejections';
comment on column mcp.agent_slots.ejected_until is
  'when the last ejection ends. Afterwards the instance gets one job as a probe. Null: not ejected.';
comment on column mcp.agent_slots.share is 'used share of the slots';
comment on column mcp.agent_slots.rank is
  'place in the choice, the lowest first; 0 while it has no job. The used share is counted half a job further, so that '
  'instances get jobs in proportion to their slots (Webster''s method).';
comment on column mcp.agent_slots.turn is
  'its place in the weighted round of its set: each offer adds 1 / slots, and among equal ranks the lowest is next';
create index agent_slots_free on mcp.agent_slots (tenant_id, manifest_id, is_degraded, rank, turn)
  where is_open and used < slots;
create index agent_slots_set on mcp.agent_slots (tenant_id, manifest_id);
create index agent_slots_ejected on mcp.agent_slots (tenant_id, manifest_id, ejected_until) where is_open;

create table mcp.agent_jobs (
  id                    uuid primary key,
  tenant_id             uuid not null,
  manifest_id           uuid not null,
  agent_id              text not null,
  run_id                uuid,
  thread_id             uuid,
  state                 text not null default 'queued',
  input                 jsonb not null,
  required_capabilities text[] not null default '{}',
  required_tags         text[] not null default '{}',
  version_low           text,
  version_low_inclusive boolean not null default true,
  version_high          text,
  version_high_inclusive boolean not null default false,
  zone                  text,
  affinity_key          text,
  retry                 text not null default 'if_silent',
  max_attempts          integer not null default 3,
  start_within          interval,
  start_by              timestamptz,
  run_within            interval,
  deadline              timestamptz,
  attempt               integer not null default 1,
  registration_id       uuid,
  epoch                 bigint,
  instance_id           text,
  holds_slot            boolean not null default false,
  accept_by             timestamptz,
  lease_expires_at      timestamptz,
  applied_through       integer not null default 0,
  event_bytes           bigint not null default 0,
  has_output            boolean not null default false,
  cancel_reason         text,
  cancel_by             timestamptz,
  result                jsonb,
  error                 jsonb,
  interrupts            jsonb,
  created_at            timestamptz not null,
  accepted_at           timestamptz,
  ended_at              timestamptz,
  foreign key (tenant_id, manifest_id) references mcp.agent_configurations on delete cascade,
  constraint agent_jobs_state check (
    state in ('queued', 'offered', 'running', 'succeeded', 'failed', 'cancelled', 'expired')),
  constraint agent_jobs_assigned check (state not in ('offered', 'running') or (holds_slot and epoch is not null)),
  constraint agent_jobs_queued check (state <> 'queued' or (not holds_slot and registration_id is null)),
  constraint agent_jobs_ended check ((state in ('queued', 'offered', 'running')) = (ended_at is null)),
  constraint agent_jobs_retry check (retry in ('never', 'if_silent', 'always')),
  constraint agent_jobs_max_attempts check (max_attempts between 1 and 100),
  -- an empty list needs no call
  constraint agent_jobs_capabilities check (required_capabilities = '{}' or mcp.is_string_list(required_capabilities)),
  constraint agent_jobs_tags check (required_tags = '{}' or mcp.is_string_list(required_tags)),
  constraint agent_jobs_zone check (char_length(zone) between 1 and 128),
  constraint agent_jobs_affinity check (char_length(affinity_key) between 1 and 255)
) with (fillfactor = 70, toast_tuple_target = 256);
alter table mcp.agent_jobs alter column input set storage external;
comment on table mcp.agent_jobs is
  'Jobs, and ended ones for mcp.retention_jobs(). A job is given to one instance at a time.';
comment on column mcp.agent_jobs.run_id is 'run of the server that waits for the job; null: made by another client';
comment on column mcp.agent_jobs.input is 'object that the instance gets; its members are in docs/reference/jobs.md';
comment on column mcp.agent_jobs.version_low is 'mcp.version_key of the lowest version; null: any';
comment on column mcp.agent_jobs.zone is 'zone whose instances are preferred';
comment on column mcp.agent_jobs.affinity_key is
  'jobs with one key go to the instance that had the last of them, if it takes jobs; null: thread_id is the key';
comment on column mcp.agent_jobs.retry is
  'whether a job is retried whose instance is lost: never, if_silent (it has no events yet) or always';
comment on column mcp.agent_jobs.start_by is 'when a job expires that no instance has accepted; null: never';
comment on column mcp.agent_jobs.deadline is 'when a job expires that has not ended; null: never';
comment on column mcp.agent_jobs.attempt is 'number of the execution, from 1';
comment on column mcp.agent_jobs.holds_slot is
  'the job takes a slot of the registration; after a forced end until the instance answers or the lease ends';
comment on column mcp.agent_jobs.applied_through is 'number of the last event of this attempt that is stored';
comment on column mcp.agent_jobs.has_output is 'an attempt has stored an event';
comment on column mcp.agent_jobs.cancel_by is 'when a cancelled job ends without an answer; null: not cancelled';
create index agent_jobs_queue on mcp.agent_jobs (tenant_id, manifest_id, created_at, id) where state = 'queued';
create index agent_jobs_offered on mcp.agent_jobs (tenant_id, manifest_id) where state = 'offered';
create index agent_jobs_start_by on mcp.agent_jobs (start_by) where state = 'queued';
create index agent_jobs_deadline on mcp.agent_jobs (deadline) where state = 'queued';
create index agent_jobs_assigned on mcp.agent_jobs (registration_id) where holds_slot;
create index agent_jobs_ended on mcp.agent_jobs (ended_at) where ended_at is not null;
create index agent_jobs_of_tenant on mcp.agent_jobs (tenant_id, created_at, id);
create index agent_jobs_of_set on mcp.agent_jobs (tenant_id, manifest_id, created_at, id);
create index agent_jobs_open on mcp.agent_jobs (tenant_id, created_at, id) where ended_at is null;
create index agent_jobs_unsuccessful on mcp.agent_jobs (tenant_id, created_at, id)
  where state in ('failed', 'cancelled', 'expired');
create index agent_jobs_of_thread on mcp.agent_jobs (thread_id, tenant_id) where thread_id is not null;
create index agent_jobs_by_run on mcp.agent_jobs (run_id, tenant_id) where run_id is not null;

create table mcp.agent_job_offers (
  job_id          uuid not null references mcp.agent_jobs on delete cascade,
  ordinal         integer not null,
  tenant_id       uuid not null,
  attempt         integer not null,
  registration_id uuid not null,
  instance_id     text not null,
  epoch           bigint not null,
  chosen_by       text not null,
  share           double precision not null,
  offered_at      timestamptz not null,
  taken_at        timestamptz,
  accepted_at     timestamptz,
  ended_at        timestamptz,
  outcome         text,
  detail          text,
  primary key (job_id, ordinal),
  constraint agent_job_offers_chosen_by check (chosen_by in ('affinity', 'rendezvous', 'zone', 'least_used')),
  constraint agent_job_offers_outcome check (outcome in (
    'rejected', 'silent', 'lost', 'handed_back', 'succeeded', 'failed', 'cancelled', 'expired', 'continued')),
  constraint agent_job_offers_detail check (char_length(detail) <= 1024)
);
comment on table mcp.agent_job_offers is 'Offers of jobs: which instance was chosen, why, and how it ended.';
comment on column mcp.agent_job_offers.taken_at is 'when a poll took the offer last; null: none did';
comment on column mcp.agent_job_offers.share is 'used share of the instance''s slots before the offer';

create table mcp.agent_job_events (
  job_id    uuid not null references mcp.agent_jobs on delete cascade,
  attempt   integer not null,
  seq       integer not null,
  tenant_id uuid not null,
  event     text not null,
  data      text not null,
  primary key (job_id, attempt, seq),
  constraint agent_job_events_seq check (seq > 0),
  constraint agent_job_events_event check (event in ('token', 'messages', 'values', 'updates', 'custom'))
);
comment on table mcp.agent_job_events is 'Events of jobs, as their instances numbered them.';
comment on column mcp.agent_job_events.data is 'JSON';

create table mcp.agent_affinities (
  tenant_id       uuid not null,
  manifest_id     uuid not null,
  key             text collate "C" not null,
  registration_id uuid not null,
  used_on         date not null,
  primary key (tenant_id, manifest_id, key),
  foreign key (tenant_id, manifest_id) references mcp.agent_configurations on delete cascade
);
comment on table mcp.agent_affinities is 'The instance that had the last job with an affinity key.';
create index agent_affinities_used_on on mcp.agent_affinities (used_on);

do $$
declare
  v_table text;
begin
  foreach v_table in array array['agent_slots', 'agent_jobs', 'agent_job_offers', 'agent_job_events',
                                 'agent_affinities'] loop
    execute format('alter table mcp.%I enable row level security', v_table);
    execute format('alter table mcp.%I force row level security', v_table);
    execute format('grant select, insert, update, delete on mcp.%I to agenthall_system, agenthall_app', v_table);
    execute format('create policy system_all on mcp.%I to agenthall_system using (true) with check (true)', v_table);
    execute format('create policy all_own on mcp.%I to agenthall_app using (tenant_id = (select mcp.current_tenant()))
                    with check (tenant_id = (select mcp.current_tenant()))', v_table);
  end loop;
end $$;

create function mcp.check_job_transition() returns trigger language plpgsql as $$
begin
  perform from mcp.agent_job_transitions() t where t.former = old.state and t.latter = new.state;
  if not found then
    raise exception 'a job that is % cannot become %', old.state, new.state using errcode = '23514';
  end if;
  return new;
end $$;
comment on function mcp.check_job_transition is
  'Fail for a change of state that is not in mcp.agent_job_transitions() (trigger).';
create trigger check_transition before update on mcp.agent_jobs for each row
  when (new.state is distinct from old.state) execute function mcp.check_job_transition();

create function mcp.notify_jobs(channel text, ids uuid[], is_rare boolean default false) returns void
language plpgsql as $$
begin
  if cardinality(ids) > 0 and (is_rare or coalesce(current_setting('mcp.notify_events', true), '') <> 'off') then
    perform pg_notify(channel, array_to_string(page.ids, ','))
      from (select array_agg(u.id) as ids from unnest(ids) with ordinality u (id, n) group by (u.n - 1) / 200) as page;
  end if;
end $$;
comment on function mcp.notify_jobs is
  'Notify agent_offers (ids of registrations) or agent_jobs (ids of jobs), unless the server does so after the commit. '
  'Rare events are notified at once.';

-- Readiness of instances ----------------------------------------------------------------------------------------------

create function mcp.refresh_readiness(registration_id uuid) returns void language sql volatile as $$
  update mcp.agent_slots s
     set is_open = i.registration_status = 'active' and i.cordoned_at is null
                   and l.health_status in ('healthy', 'degraded'),
         is_degraded = l.health_status <> 'healthy', zone = i.zone, capabilities = i.capabilities, tags = i.tags,
         version_key = i.version_key
    from mcp.agent_instances i
    join mcp.agent_leases l on l.registration_id = i.id
   where s.registration_id = refresh_readiness.registration_id and i.id = s.registration_id
$$;
comment on function mcp.refresh_readiness is 'Bring the slots of an instance in line with its rows.';

create function mcp.refresh_slots_of_lease() returns trigger language plpgsql as $$
begin
  perform mcp.refresh_readiness(new.registration_id);
  return null;
end $$;
comment on function mcp.refresh_slots_of_lease is
  'Refresh the slots of an instance whose health changed (trigger).';
create trigger refresh_slots after update of health_status on mcp.agent_leases for each row
  when (new.health_status is distinct from old.health_status) execute function mcp.refresh_slots_of_lease();

create function mcp.refresh_slots_of_instance() returns trigger language plpgsql as $$
begin
  perform mcp.refresh_readiness(new.id);
  return null;
end $$;
comment on function mcp.refresh_slots_of_instance is
  'Refresh the slots of an instance that changed (trigger).';
create trigger refresh_slots after update of registration_status, zone, capabilities, tags, version, cordoned_at
  on mcp.agent_instances for each row
  when ((new.registration_status, new.zone, new.capabilities, new.tags, new.version, new.cordoned_at) is distinct from
        (old.registration_status, old.zone, old.capabilities, old.tags, old.version, old.cordoned_at))
  execute function mcp.refresh_slots_of_instance();
