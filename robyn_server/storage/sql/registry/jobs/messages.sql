-- Messages of instances about their jobs, for many jobs of all organizations at a time. Runs as agenthall_system.

-- name: append_events
-- The parameters up to :first_seqs are columns, one job for each position; so are the last three, one event for each.
select a.job_id, a.outcome, a.applied_through
  from mcp.append_events_of_jobs(
    tenant_ids => :organization_ids, job_ids => :job_ids, attempts => :attempts, registration_ids => :registration_ids,
    epochs => :epochs, first_seqs => :first_seqs, positions => :positions, events => :events, data => :data) a

-- name: extend
-- The parameters are columns, one job for each position.
select x.tenant_id, x.job_id, x.attempt, x.registration_id, x.epoch, x.outcome, x.cancel
  from mcp.extend_agent_jobs(
    tenant_ids => :organization_ids, registration_ids => :registration_ids, epochs => :epochs, job_ids => :job_ids,
    attempts => :attempts) x

-- name: find_lost
-- Of jobs that these registrations ran, those that they do not run any more, with the present state of each.
select g.job_id, g.attempt, j.state
  from unnest(:job_ids::uuid[], :attempts::integer[], :registration_ids::uuid[], :epochs::bigint[])
    as g (job_id, attempt, registration_id, epoch)
  left join mcp.agent_jobs j on j.id = g.job_id
 where (j.attempt = g.attempt and j.registration_id = g.registration_id and j.epoch = g.epoch and j.state = 'running')
       is not true

-- name: dispatch_of
-- Offer queued jobs of the types of agents that these registrations are of.
select d.offered, d.changed
  from (select distinct i.tenant_id, i.manifest_id from mcp.agent_instances i
         where i.id = any (:registration_ids::uuid[])) as sets
 cross join lateral mcp.dispatch_set(sets.tenant_id, sets.manifest_id, 1000, clock_timestamp()) d
