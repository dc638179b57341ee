-- Find out that the database has crashed since an event was written, because a crash may undo the latest events.
--
-- Rules
--   1. A flush of events does not wait for the disk (0004_runs.sql), so a crash may undo flushes of its last moment.
--      Clients may have read their events.
--   2. crash_marks is unlogged: a crash empties it, and so does a failover, and a regular stop does not. The next one
--      that asks makes another mark.
--   3. A worker names the mark under which it has written. With another one its flush changes nothing, and it repeats
--      the latest events. Those that are there are skipped.
--   4. An attempt cannot repeat the events of an earlier one. After a crash it leaves out so many numbers that its own
--      events come after those that a client may have read.

create unlogged table agenthall.crash_marks (
  is_only boolean primary key default true,
  made_at timestamptz not null default clock_timestamp(),
  constraint crash_marks_is_only check (is_only)
);
comment on table agenthall.crash_marks is 'At most one row, made after the last crash of the database.';
alter table agenthall.crash_marks enable row level security;
alter table agenthall.crash_marks force row level security;
grant select, insert on agenthall.crash_marks to agenthall_system;
create policy system_all on agenthall.crash_marks to agenthall_system using (true) with check (true);
insert into agenthall.crash_marks default values;

create function agenthall.crash_mark() returns timestamptz language plpgsql volatile as $$
declare v_mark timestamptz;
begin
  select m.made_at into v_mark from agenthall.crash_marks m;
  if not found then
    insert into agenthall.crash_marks default values on conflict do nothing;
    select m.made_at into v_mark from agenthall.crash_marks m;
  end if;
  return v_mark;
end $$;
comment on function agenthall.crash_mark is
  'Return the mark that the database has since its last crash. Nothing that was written before it is known to be kept.';

drop function agenthall.flush_runs(uuid, uuid[], integer[], integer[], text[], text[], jsonb);

create function agenthall.flush_runs(
  p_worker uuid,
  p_run_ids uuid[], p_attempts integer[], p_seqs integer[], p_events text[], p_datas text[],
  p_ends jsonb, p_crash_mark timestamptz default null,
  out lost uuid[], out lost_attempts integer[], out woke boolean, out crash_mark timestamptz
) language plpgsql as $$
declare
  v_end jsonb;
  v_run agenthall.runs;
begin
  woke := false;
  crash_mark := agenthall.crash_mark();
  if p_crash_mark <> crash_mark then
    return;
  end if;
  if jsonb_array_length(p_ends) = 0 then
    -- A crash of the database may lose the latest events, but never the end of a run.
    perform set_config('synchronous_commit', 'off', true);
    perform from agenthall.runs r
     where r.run_id = any (p_run_ids) and r.worker_id = p_worker order by r.run_id for key share;
  else
    perform from agenthall.threads t -- rules 2 and 4 of 0004_runs.sql
     where t.thread_id = any (array(select (e.value ->> 'thread_id')::uuid from jsonb_array_elements(p_ends) e))
     order by t.thread_id for update;
    perform from agenthall.runs r
     where r.run_id = any (p_run_ids || array(select (e.value ->> 'run_id')::uuid from jsonb_array_elements(p_ends) e))
       and r.worker_id = p_worker
     order by r.run_id for update;
  end if;
  with leased as (
    select r.run_id, r.attempt from agenthall.runs r
     where r.run_id = any (p_run_ids) and r.worker_id = p_worker and r.status = 'running'),
  events as (
    select * from unnest(p_run_ids, p_attempts, p_seqs, p_events, p_datas) as e (run_id, attempt, seq, event, data)),
  inserted as (
    insert into agenthall.run_events (run_id, seq, attempt, event, data)
    select e.run_id, e.seq, e.attempt, e.event, e.data from events e join leased l using (run_id, attempt)
     order by e.run_id, e.seq
    on conflict (run_id, seq) do nothing) -- a repeated flush, whose first answer was lost
  select coalesce(array_agg(n.run_id), '{}'), coalesce(array_agg(n.attempt), '{}') into lost, lost_attempts
    from (select distinct e.run_id, e.attempt
            from events e left join leased l using (run_id, attempt)
           where l.run_id is null) n;
  for v_end in select value from jsonb_array_elements(p_ends) loop
    select * into v_run from agenthall.runs r
     where r.run_id = (v_end ->> 'run_id')::uuid and r.worker_id = p_worker
       and r.attempt = (v_end ->> 'attempt')::integer and r.status = 'running';
    if not found then
      lost := lost || (v_end ->> 'run_id')::uuid;
      lost_attempts := lost_attempts || (v_end ->> 'attempt')::integer;
    else
      woke := agenthall.end_run(
        v_run, v_end ->> 'status', v_end ->> 'thread_status', nullif(v_end -> 'values', 'null'),
        nullif(v_end -> 'error', 'null'), v_end -> 'interrupts', coalesce(v_end -> 'metadata', '{}'),
        v_end ->> 'result') or woke;
    end if;
  end loop;
end $$;
comment on function agenthall.flush_runs is
  'Write events and ends of many runs of one worker in one transaction. lost, lost_attempts: runs that this worker '
  'does not hold; nothing was written for them. woke: another run became claimable. crash_mark: that of the database; '
  'nothing at all is written where p_crash_mark is another one.';

create or replace function agenthall.claimed_seq(p_run agenthall.runs) returns integer language plpgsql volatile as $$
declare
  v_seq integer;
begin
  select coalesce(max(e.seq), 0) into v_seq from agenthall.run_events e where e.run_id = p_run.run_id;
  if p_run.event_transport = 'redis' then
    return greatest(v_seq, agenthall.attempt_seq(p_run.attempt - 1));
  elsif p_run.attempt > 1 and p_run.created_at < agenthall.crash_mark() then
    return v_seq + 100000; -- rule 4
  end if;
  return v_seq;
end $$;
