-- Read times of agents. Runs as agenthall_system.

-- include: agent_sync/fragments

-- name: claim
with given as (
  select :agent_id::uuid as ledger_id, :source::text as source, :read_at::timestamptz as read_at
), ledger as ({claimed})
select {is_latest} as is_latest from given g join ledger l on l.agent_id = g.ledger_id
