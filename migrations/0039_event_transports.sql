-- Note for each run where its events are: in run_events, or in a stream of Redis.
--
-- Rules
--   1. The transport of a run never changes. The process that enqueues the run chooses it, by the parameter
--      agenthall.event_transport of its transaction. Processes of the release before leave it out.
--   2. The end of every run is in run_events, whatever its transport. So are the events that Redis did not take.
--   3. The database does not know how many events a run has in Redis. Each attempt of such a run therefore has
--      10,000,000 numbers of its own. A worker goes on after those of the attempts before, and a function that ends
--      the run uses the last of its attempt.
--   4. A worker that ends such a run first writes `__last__`, which follows its last event wherever that is.

create function agenthall.event_transport() returns text language sql stable as $$
  select coalesce(nullif(current_setting('agenthall.event_transport', true), ''), 'postgres')
$$;
comment on function agenthall.event_transport is 'The transport of the runs that this transaction enqueues.';

alter table agenthall.runs
  add column event_transport text not null default 'postgres',
  add constraint runs_event_transport check (event_transport in ('postgres', 'redis'));
alter table agenthall.runs alter column event_transport set default agenthall.event_transport();
comment on column agenthall.runs.event_transport is 'where the events of the run are: postgres or redis';
comment on column agenthall.run_events.event is
  'name of the event on the wire; not sent are `__end__`, which closes a run, and `__last__`, which follows the last '
  'event that a worker wrote for a run with its events in Redis';

create function agenthall.attempt_seq(p_attempt integer) returns integer language sql immutable as $$
  select least(greatest(p_attempt, 0), 90) * 10000000
$$;
comment on function agenthall.attempt_seq is
  'The last number that events of this attempt may have when they are in Redis. At most 90 attempts have their own, '
  'so that a number has nine digits.';

create or replace function agenthall.last_seq(p_run_id uuid) returns integer language plpgsql volatile as $$
declare
  v_seq integer;
  v_event text;
  v_run agenthall.runs;
begin
  select e.seq, e.event into v_seq, v_event
    from agenthall.run_events e where e.run_id = p_run_id order by e.seq desc limit 1;
  if v_event = '__last__' then
    return v_seq;
  end if;
  select * into v_run from agenthall.runs r where r.run_id = p_run_id;
  if v_run.event_transport = 'redis' then
    return greatest(v_seq, agenthall.attempt_seq(v_run.attempt) - 2, 0);
  end if;
  return coalesce(v_seq, 0);
end $$;
comment on function agenthall.last_seq is
  'Return the number after which the database may go on with the events of a run: that of the last one, or one that '
  'no worker has reached where the events are in Redis. Volatile, so that a statement that claims a run and calls this '
  'function reads events that were committed after the statement''s own snapshot.';

create function agenthall.claimed_seq(p_run agenthall.runs) returns integer language plpgsql volatile as $$
declare
  v_seq integer;
begin
  select coalesce(max(e.seq), 0) into v_seq from agenthall.run_events e where e.run_id = p_run.run_id;
  if p_run.event_transport = 'redis' then
    return greatest(v_seq, agenthall.attempt_seq(p_run.attempt - 1));
  end if;
  return v_seq;
end $$;
comment on function agenthall.claimed_seq is
  'Return the number after which the worker that has claimed the run goes on. Volatile as last_seq is.';
