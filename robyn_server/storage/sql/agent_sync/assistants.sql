-- One assistant at a time. Runs as agenthall_system.

-- include: agent_sync/fragments

-- name: get
select a.assistant_id::text, a.graph_id, a.name, a.description, a.config::text as config, a.context::text as context,
       a.metadata::text as metadata, a.version, a.owner_id, a.organization_id, a.visibility, a.retired_at,
       a.origin, a.template_id
  from agenthall.assistants a
 where a.assistant_id = :assistant_id and a.owner_id in ('system', :owner_id)

-- name: create
-- A copy is written only from the latest read, because the later read has updated all copies that there were. A shared
-- assistant is always written: the later read finds it and updates it.
with given as (
  select :agent_id::uuid as ledger_id, :source::text as source,
         (:metadata::jsonb ->> 'synced_at')::timestamptz as read_at
), ledger as ({claimed}), created as (
  insert into agenthall.assistants
    (assistant_id, graph_id, name, description, config, context, metadata, organization_id, catalogue_hash, owner_id,
     visibility, template_id, origin)
  select :assistant_id, :graph_id, :name, :description, :config, coalesce(:config::jsonb -> 'configurable', '{}'),
         :metadata, :organization_id, :catalogue_hash, :owner_id, :visibility, :template_id, g.source
    from given g
    join ledger l on l.agent_id = g.ledger_id and (:template_id::uuid is null or {is_latest})
  on conflict (assistant_id) do nothing
  returning assistant_id
)
select :template_id::uuid is null or {is_latest} as is_latest, exists (select from created) as is_written
  from given g join ledger l on l.agent_id = g.ledger_id

-- name: update
-- Writes nothing from an outdated read, and no assistant of another origin, agent or owner.
with given as (
  select :assistant_id::uuid as agent_id, :graph_id::text as graph_id, :name::text as name,
         :description::text as description, :config::jsonb as config, :metadata::jsonb as metadata,
         :organization_id::uuid as organization_id, :catalogue_hash::text as hash, :agent_id::uuid as ledger_id,
         :source::text as source, (:metadata::jsonb ->> 'synced_at')::timestamptz as read_at
), ledger as ({claimed}), updated as (
  update agenthall.assistants a
     set version = {next_version}, graph_id = g.graph_id, name = g.name, description = g.description, config = {config},
         context = {context}, metadata = {metadata}, organization_id = g.organization_id, catalogue_hash = g.hash,
         retired_at = null, updated_at = clock_timestamp()
    from given g
    join ledger l on l.agent_id = g.ledger_id and {is_latest}
   where a.assistant_id = g.agent_id and a.owner_id in ('system', :owner_id)
     and a.origin = g.source and a.template_id is not distinct from :template_id::uuid and not {same}
  returning a.assistant_id
)
select {is_latest} as is_latest, exists (select from updated) as is_written
  from given g join ledger l on l.agent_id = g.ledger_id
