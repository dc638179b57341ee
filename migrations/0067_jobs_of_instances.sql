-- Let operators list the jobs that an instance had. A job enters the index once, when it ends.
create index agent_jobs_of_instance on mcp.agent_jobs (tenant_id, registration_id, state, created_at, id)
  where ended_at is not null and registration_id is not null;
