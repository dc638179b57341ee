-- Record when runs were claimed and how they ended, and keep a day of metrics, so that operators see both without
-- another system.
--
-- Rules
--   1. A run notes the time of each claim in the statement that claims it. Its end is its last change (updated_at).
--   2. The event that closes a run, `__end__`, also has its outcome and its seconds. A run that is deleted at its end,
--      such as one without a thread, leaves nothing else. So no other row is written for a run.
--   3. A minute of the history is one row for the whole installation. It is written when the minute is over, by the
--      process that comes first. A minute in which no worker ran has no row.
alter table agenthall.runs add column claimed_at timestamptz[];
comment on column agenthall.runs.claimed_at is 'when a worker claimed each attempt: the first 99, and the last';

create function agenthall.note_claim() returns trigger language plpgsql as $$
begin
  new.claimed_at := new.claimed_at[1:99] || new.updated_at;
  return new;
end $$;
create trigger note_claim before update of status on agenthall.runs for each row
  when (old.status = 'pending' and new.status = 'running') execute function agenthall.note_claim();

-- For the list of an owner's runs. The ids of runs are in the order of time.
create index runs_of_owner on agenthall.runs (owner_id, run_id);

alter table agenthall.run_events
  add column outcome text,
  add column waited real,
  add column ran real;
comment on column agenthall.run_events.outcome is
  'of `__end__`: the status of the run, or cancelled; null in other events, and where a run was deleted before its end';
comment on column agenthall.run_events.waited is 'of `__end__`: seconds from when the run was due to its first claim';
comment on column agenthall.run_events.ran is 'of `__end__`: seconds from the first claim to the end';
create index run_events_ended on agenthall.run_events (created_at) where event = '__end__';

-- The last event of a closed run is its end. A search for the end itself may take the index above, and read the ends of
-- all runs, with a plan that was made when there were few.
create or replace function agenthall.close_deleted_run() returns trigger language plpgsql as $$
declare
  v_last agenthall.run_events;
begin
  if old.status in ('pending', 'running') then
    select * into v_last from agenthall.run_events e where e.run_id = old.run_id order by e.seq desc limit 1;
    if v_last.event is distinct from '__end__' then
      insert into agenthall.run_events (run_id, seq, attempt, event, data)
      values (old.run_id, coalesce(v_last.seq, 0) + 1, old.attempt, '__end__',
              '{"status": "interrupted", "values": null}');
    end if;
  end if;
  return old;
end $$;

create or replace function agenthall.end_run(
  p_run agenthall.runs, p_status text, p_thread_status text, p_values jsonb, p_error jsonb, p_interrupts jsonb,
  p_metadata jsonb, p_result text
) returns boolean language plpgsql as $$
declare
  v_next boolean;
  v_ran boolean := p_run.attempt > 0;
  v_rolls_back boolean := p_run.cancel_action is not distinct from 'rollback';
  v_is_cancelled boolean := v_rolls_back or (p_run.cancel_action is not null and p_status = 'interrupted');
  v_settled text;
begin
  insert into agenthall.run_events (run_id, seq, attempt, event, data, outcome, waited, ran)
  values (p_run.run_id, agenthall.last_seq(p_run.run_id) + 1, p_run.attempt, '__end__',
          case when v_rolls_back then '{"status": "interrupted", "values": null}' else p_result end,
          case when v_is_cancelled then 'cancelled' else p_status end,
          case when p_run.claimed_at is not null
               then greatest(extract(epoch from p_run.claimed_at[1] - p_run.run_at), 0) end,
          extract(epoch from clock_timestamp() - p_run.claimed_at[1]));
  if not p_run.keep_thread then
    delete from agenthall.threads t where t.thread_id = p_run.thread_id and t.ephemeral;
    return false;
  elsif v_rolls_back then
    return agenthall.remove_run(p_run);
  end if;
  delete from agenthall.run_undo u where u.run_id = p_run.run_id;
  update agenthall.runs r
     set status = p_status, error = p_error, worker_id = null, lease_until = null, ready = false,
         metadata = r.metadata || p_metadata, updated_at = clock_timestamp()
   where r.run_id = p_run.run_id;
  v_next := agenthall.ready_next_run(p_run.thread_id);
  select case when v_ran then p_thread_status else coalesce(t.settled_status, 'idle') end into v_settled
    from agenthall.threads t where t.thread_id = p_run.thread_id;
  update agenthall.threads t
     set status = case when exists (
                         select from agenthall.runs r
                          where r.thread_id = t.thread_id and r.status in ('pending', 'running'))
                       then 'busy' else v_settled end,
         settled_status = v_settled,
         "values" = coalesce(p_values, t."values"), updated_at = clock_timestamp(),
         error = case when v_ran then p_error - 'frames' else t.error end,
         interrupts = case when v_ran then p_interrupts else t.interrupts end,
         state_updated_at = case when v_ran then clock_timestamp() else t.state_updated_at end
   where t.thread_id = p_run.thread_id;
  return v_next;
end $$;
comment on column agenthall.runs.error is
  'why the run failed: error, message, and frames of the user''s code (file, line, function)';

create function agenthall.timed_run_json(r agenthall.runs) returns json language sql stable as $$
  select (left(agenthall.run_json(r)::text, -1) || ', ' || substr(json_build_object(
    'graph_id', r.graph_id, 'owner_id', r.owner_id, 'due_at', agenthall.iso(r.run_at),
    'started_at', agenthall.iso(r.claimed_at[1]),
    'ended_at', case when r.status not in ('pending', 'running') then agenthall.iso(r.updated_at) end,
    'attempts', r.attempt,
    'assistant_name', (select a.name from agenthall.assistants a where a.assistant_id = r.assistant_id),
    'wait_seconds', round(greatest(0, extract(epoch from coalesce(r.claimed_at[1], m.at) - r.run_at)), 3),
    'run_seconds', round(extract(epoch from m.at - r.claimed_at[1]), 3),
    'error', case when r.error is not null
                  then json_build_object('type', r.error ->> 'error', 'message', r.error ->> 'message') end)::text,
    2))::json
    from (select case when r.status in ('pending', 'running') then clock_timestamp() else r.updated_at end as at) as m
$$;
comment on function agenthall.timed_run_json is
  'Return a run as the API does, with its times. assistant_name is null for a caller that may not see the assistant.';

create function agenthall.lowest_id(p_at timestamptz) returns uuid language sql immutable parallel safe as $$
  select (lpad(to_hex(greatest(floor(extract(epoch from p_at) * 1000), 0)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;
comment on function agenthall.lowest_id is
  'Return the lowest UUIDv7 of a millisecond: ids that are made later are greater.';

-- Let each process say what only it knows. Processes of the release before leave it out.
alter table agenthall.workers
  add column version text,
  add column open_streams integer not null default 0;
comment on column agenthall.workers.open_streams is 'streams that clients of a web process read';

create table agenthall.metrics_history (
  at               timestamptz primary key,
  runs_created     integer not null,
  runs_succeeded   integer not null,
  runs_failed      integer not null,
  runs_interrupted integer not null,
  runs_cancelled   integer not null,
  ran              real[] not null,
  waited           real[] not null,
  runs_pending     integer not null,
  runs_running     integer not null,
  open_streams     integer not null,
  instances        jsonb not null,
  jobs_queued      integer not null,
  jobs_running     integer not null,
  constraint metrics_history_minute check (at = date_trunc('minute', at, 'UTC'))
);
comment on table agenthall.metrics_history is
  'One row for each minute of the last day: counts over the minute, and from runs_pending on values at its end.';
comment on column agenthall.metrics_history.ran is
  'seconds of the runs that ended: all in order, or the percentiles 0 to 100 of more than 101';
comment on column agenthall.metrics_history.waited is 'seconds that these runs waited, in the same form';
comment on column agenthall.metrics_history.instances is 'instances by their health';
alter table agenthall.metrics_history enable row level security;
alter table agenthall.metrics_history force row level security;
grant select, insert, delete on agenthall.metrics_history to agenthall_system;
create policy system_all on agenthall.metrics_history to agenthall_system using (true) with check (true);
