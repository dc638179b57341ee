-- Retiring assistants whose agents are gone. Runs as agenthall_system.
-- Each statement locks the assistants as `gone`, sorted by id, which keeps two replicas from deadlocking.

-- include: agent_sync/fragments

-- fragment: retired
-- Raises the version, so that an agent that comes back is compared again.
update agenthall.assistants a
   set retired_at = clock_timestamp(), version = {next_version}, updated_at = clock_timestamp()
  from gone
 where a.assistant_id = gone.assistant_id
returning coalesce(a.template_id, a.assistant_id) as agent_id

-- fragment: of_agents
-- The id of a user's copy may be that of another agent.
((a.assistant_id = any (:agent_ids::uuid[]) and a.template_id is null) or a.template_id = any (:agent_ids::uuid[]))

-- fragment: in_service
a.origin = :source and a.retired_at is null

-- name: clock
select clock_timestamp()

-- name: retire
-- Retires the shared assistants and all copies of :agent_ids, but none of an agent that was read after :read_at.
with given as (
  select distinct coalesce(a.template_id, a.assistant_id) as ledger_id, :source::text as source,
         :read_at::timestamptz as read_at
    from agenthall.assistants a
   where {of_agents} and {in_service}
), ledger as ({claimed}), gone as (
  select a.assistant_id from agenthall.assistants a
   where {of_agents} and {in_service}
     and coalesce(a.template_id, a.assistant_id) in (
           select l.agent_id from ledger l where :read_at::timestamptz is null or l.read_at = :read_at)
   order by a.assistant_id
     for no key update
)
{retired}

-- name: retire_shared
with gone as (
  select a.assistant_id from agenthall.assistants a
   where a.assistant_id = any (:agent_ids::uuid[]) and a.template_id is null and {in_service}
   order by a.assistant_id
     for no key update
)
{retired}

-- name: retire_copies
with gone as (
  select a.assistant_id from agenthall.assistants a
   where a.template_id = any (:agent_ids::uuid[]) and {in_service}
   order by a.assistant_id
     for no key update
)
{retired}

-- name: retire_absent
-- A null :after or :last is no bound. An assistant written at :before or later is newer than the read of :present.
with gone as (
  select a.assistant_id from agenthall.assistants a
   where (:after::uuid is null or a.assistant_id > :after) and (:last::uuid is null or a.assistant_id <= :last)
     and a.template_id is null and {in_service} and a.updated_at < :before
     and not (a.assistant_id = any (:present::uuid[]))
   order by a.assistant_id
     for no key update
)
{retired}

-- name: retire_absent_copies
-- As retire_absent, for users' copies; :after, :last and :present are ids of agents.
with gone as (
  select a.assistant_id from agenthall.assistants a
   where (:after::uuid is null or a.template_id > :after) and (:last::uuid is null or a.template_id <= :last)
     and a.template_id is not null and {in_service} and a.updated_at < :before
     and not (a.template_id = any (:present::uuid[]))
   order by a.assistant_id
     for no key update
)
{retired}
