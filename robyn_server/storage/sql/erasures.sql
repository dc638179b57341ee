-- Erasures of users and organizations. Runs as agenthall_system.
-- Each table has a fragment `table_…`. The others find rows of a user, of an organization, or of threads.

-- name: start
-- An erasure that was interrupted goes on.
insert into agenthall.erasures as e (erasure_id, subject_type, subject_id, organization_id)
select :erasure_id, :subject_type, :subject, :organization_id
  from agenthall.set_actor(:actor, :request_id) as acting
 where acting
on conflict (subject_type, subject_id, organization_id) where finished_at is null
  do update set subject_id = excluded.subject_id
returning e.erasure_id

-- name: finish
update agenthall.erasures e set finished_at = clock_timestamp(), subject_id = null
 where e.erasure_id = :erasure_id and e.finished_at is null and agenthall.set_actor(:actor, :request_id)
returning e.counts::text as counts

-- name: hide_in_audit
select agenthall.erase_from_audit_log(:erasure_id, 1000)

-- template: list_threads
select t.thread_id from agenthall.threads t where t.thread_id > :after and {whose} order by t.thread_id limit 200

-- template: list_connections
select x.owner_id, x.connection_id from agenthall.mcp_connections x
 where x.connection_id > :after and {rows} order by x.connection_id limit 200

-- fragment: user
(t.owner_id = :subject and (:organization_id::uuid is null or t.organization_id = :organization_id))

-- fragment: organization
t.organization_id = :subject::uuid

-- fragment: chunk
t.thread_id = any (:thread_ids::uuid[])

-- name: list_runs
select r.run_id from agenthall.runs r where r.thread_id = any (:thread_ids::uuid[])

-- name: stop_runs
select agenthall.stop_open_runs(t.thread_id, 'interrupt', 'erased')
  from (select t.thread_id from agenthall.threads t
         where t.thread_id = any (:thread_ids::uuid[])
         order by t.thread_id for update) as t

-- name: stop_runs_of_jobs
select c.outcome
  from mcp.agent_jobs j
 cross join lateral mcp.cancel_agent_job(j.tenant_id, j.id, 'erased', 0) as c
 where j.thread_id = any (:thread_ids::uuid[]) and j.ended_at is null

-- name: has_running
select exists (select from agenthall.runs r where r.thread_id = any (:thread_ids::uuid[]) and r.status = 'running')

-- template: delete_batch
with deleted as (
  delete from {table} as x
   where x.ctid = any (array(select x.ctid from {table} as x where {rows} limit 1000))
     and agenthall.set_erasure(:erasure_id)
  returning 1),
counted as (select count(*) as rows from deleted)
update agenthall.erasures e
   set counts = e.counts || jsonb_build_object(:name::text, coalesce((e.counts ->> :name)::bigint, 0) + counted.rows)
  from counted
 where e.erasure_id = :erasure_id and e.finished_at is null
returning counted.rows

-- template: change_batch
with changed as (
  update {table} as x set {change}
   where x.ctid = any (array(select x.ctid from {table} as x where {rows} limit 1000))
     and agenthall.set_erasure(:erasure_id)
  returning 1),
counted as (select count(*) as rows from changed)
update agenthall.erasures e
   set counts = e.counts || jsonb_build_object(:name::text, coalesce((e.counts ->> :name)::bigint, 0) + counted.rows)
  from counted
 where e.erasure_id = :erasure_id and e.finished_at is null
returning counted.rows

-- template: count_rows
select count(*) from {table} as x where ({rows}) or ({or_rows})

-- fragment: table_job_events
mcp.agent_job_events

-- fragment: rows_of_jobs
x.job_id = any (array(select j.id from mcp.agent_jobs j
                       where j.thread_id = any (array(select t.thread_id from agenthall.threads t where {whose}))))

-- fragment: table_job_offers
mcp.agent_job_offers

-- fragment: table_jobs
mcp.agent_jobs

-- fragment: rows_of_threads
x.thread_id = any (array(select t.thread_id from agenthall.threads t where {whose}))

-- fragment: table_run_events
agenthall.run_events

-- fragment: rows_of_runs
x.run_id = any (array(select r.run_id from agenthall.runs r
                       where r.thread_id = any (array(select t.thread_id from agenthall.threads t where {whose}))))

-- fragment: table_run_undo
agenthall.run_undo

-- fragment: table_thread_words
agenthall.thread_words

-- fragment: table_run_credentials
agenthall.run_credentials

-- fragment: table_checkpoint_writes
langgraph.checkpoint_writes

-- fragment: rows_of_thread_texts
-- LangGraph's ids of threads are texts.
x.thread_id = any (array(select t.thread_id::text from agenthall.threads t where {whose}))

-- fragment: table_checkpoint_blobs
langgraph.checkpoint_blobs

-- fragment: table_checkpoints
langgraph.checkpoints

-- fragment: table_runs
agenthall.runs

-- fragment: user_rows
-- Also runs on threads of others, which an administrator may start.
x.owner_id = :subject and (:organization_id::uuid is null or x.organization_id = :organization_id)

-- fragment: organization_rows
x.organization_id = :subject::uuid

-- fragment: table_threads
agenthall.threads

-- fragment: table_api_keys
agenthall.api_keys

-- fragment: user_api_keys
x.identity = :subject and (:organization_id::uuid is null or x.organizations <@ array[:organization_id::uuid])

-- fragment: organization_api_keys
x.organizations = array[:subject::uuid]

-- fragment: user_api_keys_made
x.created_by = :subject and (:organization_id::uuid is null or x.organizations <@ array[:organization_id::uuid])

-- fragment: change_api_keys_made
created_by = 'erased:' || :erasure_id::uuid

-- fragment: organization_api_keys_shared
x.organizations @> array[:subject::uuid]

-- fragment: change_api_keys_shared
organizations = array_remove(x.organizations, :subject::uuid)

-- fragment: table_mcp_authorizations
agenthall.mcp_authorizations

-- fragment: table_mcp_connections
agenthall.mcp_connections

-- fragment: table_mcp_credentials
agenthall.mcp_credentials

-- fragment: user_mcp_credentials
x.updated_by = :subject and (:organization_id::uuid is null or x.organization_id = :organization_id)

-- fragment: change_mcp_credentials
updated_by = 'erased:' || :erasure_id::uuid

-- fragment: table_store_vectors
agenthall.store_vectors

-- fragment: user_items
x.owner_id = :subject and :organization_id::uuid is null

-- fragment: table_store_items
agenthall.store_items

-- fragment: table_assistant_versions
agenthall.assistant_versions

-- fragment: user_assistant_versions
x.assistant_id = any (array(
  select a.assistant_id from agenthall.assistants a
   where a.owner_id = :subject and (:organization_id::uuid is null or a.organization_id = :organization_id)))

-- fragment: organization_assistant_versions
x.assistant_id = any (array(
  select a.assistant_id from agenthall.assistants a where a.organization_id = :subject::uuid))

-- fragment: table_agent_sync
agenthall.agent_sync

-- fragment: organization_agent_sync
x.agent_id = any (array(
  select a.assistant_id from agenthall.assistants a where a.organization_id = :subject::uuid))

-- fragment: table_agent_sync_passes
agenthall.agent_sync_passes

-- fragment: organization_agent_sync_passes
strpos(x.scope, :subject) > 0

-- fragment: table_assistants
agenthall.assistants

-- fragment: table_instances
mcp.agent_instances

-- fragment: user_instances
x.registered_by = :subject and (:organization_id::uuid is null or x.tenant_id = :organization_id)

-- fragment: user_instances_cordoned
x.cordoned_by = :subject and (:organization_id::uuid is null or x.tenant_id = :organization_id)

-- fragment: change_instances_cordoned
cordoned_by = 'erased:' || :erasure_id::uuid

-- fragment: table_event_inbox
mcp.agent_event_inbox

-- fragment: table_events
mcp.agent_events

-- fragment: user_event_inbox
:subject in (x.instance ->> 'registered_by', x.instance ->> 'cordoned_by')
and (:organization_id::uuid is null or x.tenant_id = :organization_id)

-- fragment: user_events
:subject in (x.instance ->> 'registered_by', x.instance ->> 'cordoned_by')
and (:organization_id::uuid is null or x.tenant_id = :organization_id)

-- fragment: tenant
x.tenant_id = :subject::uuid

-- fragment: table_affinities
mcp.agent_affinities

-- fragment: table_brakes
mcp.agent_brakes

-- fragment: table_slots
mcp.agent_slots

-- fragment: table_instance_history
mcp.agent_instance_history

-- fragment: organization_instances
x.registration_id = any (array(select i.id from mcp.agent_instances i where i.tenant_id = :subject::uuid))

-- fragment: table_checks
mcp.agent_checks

-- fragment: table_job_counts
mcp.agent_job_counts

-- fragment: table_search_terms
mcp.agent_search_terms

-- fragment: table_leases
mcp.agent_leases

-- fragment: table_configurations
mcp.agent_configurations

-- fragment: table_manifests
mcp.agent_manifests

-- fragment: organization_manifests
-- Those that nobody else uses go with the configurations before.
x.created_for = :subject::uuid and not exists (
  select from mcp.agent_configurations c where c.manifest_id = x.id and c.tenant_id = :subject::uuid)

-- fragment: change_manifests
created_for = null
