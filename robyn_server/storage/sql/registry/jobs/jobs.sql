-- Jobs of one organization. Runs as agenthall_app. The functions of schema mcp select the organization themselves.

-- name: open_slots
select o.outcome, o.continued::text as continued, o.offered, o.changed
  from mcp.open_agent_slots(
    tenant_id => :organization_id, registration_id => :registration_id, epoch => :epoch, slots => :slots,
    jobs => :job_ids, polls => :polls) o

-- name: claim
select c.outcome, c.offered, c.changed
  from mcp.claim_agent_jobs(
    tenant_id => :organization_id, registration_id => :registration_id, epoch => :epoch, max_jobs => :max_jobs,
    wait_seconds => :wait_seconds) c

-- name: take
select t.job_id, t.attempt, t.agent_id, t.run_id, t.thread_id, t.input::text as input, t.deadline,
       extract(epoch from t.accept_by - clock_timestamp())::float8 as accept_within
  from mcp.take_agent_offers(
    tenant_id => :organization_id, registration_id => :registration_id, epoch => :epoch, max_jobs => :max_jobs,
    is_last => :is_last) t

-- name: end_poll
select mcp.end_agent_poll(
  tenant_id => :organization_id, registration_id => :registration_id, epoch => :epoch, max_jobs => :max_jobs)

-- name: create
select c.state, c.is_new, c.offered
  from mcp.create_agent_job(
    tenant_id => :organization_id, agent_id => :agent_id, input => :input, job_id => :job_id, thread_id => :thread_id,
    run_id => :run_id, required_capabilities => :capabilities, required_tags => :tags, version_low => :low,
    version_low_inclusive => :low_inclusive, version_high => :high, version_high_inclusive => :high_inclusive,
    zone => :zone, affinity_key => :affinity_key, retry => :retry, max_attempts => :max_attempts,
    start_within => :start_within, run_within => :run_within) c

-- name: accept
select a.outcome, a.lease_seconds
  from mcp.accept_agent_job(
    tenant_id => :organization_id, job_id => :job_id, attempt => :attempt, registration_id => :registration_id,
    epoch => :epoch) a

-- name: reject
select r.outcome, r.offered
  from mcp.reject_agent_job(
    tenant_id => :organization_id, job_id => :job_id, attempt => :attempt, registration_id => :registration_id,
    epoch => :epoch, reason => :reason) r

-- name: finish
select f.outcome, f.applied_through, f.offered
  from mcp.finish_agent_job(
    tenant_id => :organization_id, job_id => :job_id, attempt => :attempt, registration_id => :registration_id,
    epoch => :epoch, through_seq => :through_seq, state => :state, result => :result, error => :error,
    interrupts => :interrupts) f

-- name: cancel
select c.outcome, c.registration_id
  from agenthall.set_actor(:actor, :request_id) as acting
 cross join lateral mcp.cancel_agent_job(
    tenant_id => case when acting then :organization_id::uuid end, job_id => :job_id, reason => :reason, grace_seconds => :grace_seconds) c
