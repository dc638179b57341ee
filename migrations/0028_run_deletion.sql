-- Delete runs, and cancel those of a principal by their status.

create index runs_active on agenthall.runs (owner_id, status, run_id) where status in ('pending', 'running');

create function agenthall.delete_run(
  p_identity text, p_organizations text, p_admin boolean, p_thread_id uuid, p_run_id uuid
) returns boolean language plpgsql as $$
declare
  v_run agenthall.runs;
begin
  perform agenthall.act_as(p_identity, p_organizations, p_admin);
  perform from agenthall.threads t
   where t.thread_id = p_thread_id and (p_admin or t.owner_id = p_identity) for update;
  select * into v_run from agenthall.runs r
   where r.run_id = p_run_id and r.thread_id = p_thread_id and (p_admin or r.owner_id = p_identity) for update;
  if not found then
    return false;
  end if;
  if v_run.status in ('pending', 'running') then
    perform agenthall.end_run(v_run, 'interrupted', 'interrupted', null,
      '{"error": "UserInterrupt", "message": "interrupt"}', '{}', '{}', '{"status": "interrupted", "values": null}');
  end if;
  delete from agenthall.runs r where r.run_id = p_run_id;
  return true;
end $$;
comment on function agenthall.delete_run is
  'Delete a run of the principal. A running one ends first, so that its worker stops and the next run can be claimed. '
  'Return false where there is none. The checkpoints of the thread stay.';
