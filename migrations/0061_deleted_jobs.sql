-- Free the slot of a job that is deleted. An erasure deletes jobs that instances still have.
create function mcp.free_deleted_slot() returns trigger language plpgsql as $$
begin
  perform mcp.free_slot(old);
  return null;
end $$;
comment on function mcp.free_deleted_slot is 'Trigger: free the slot that a deleted job took.';
create trigger agent_jobs_deleted after delete on mcp.agent_jobs
  for each row when (old.holds_slot) execute function mcp.free_deleted_slot();
