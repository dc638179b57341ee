-- Users' copies of template agents. Runs as agenthall_system.

-- include: agent_sync/fragments

-- name: copied_agents
-- Includes agents whose last sync failed, so that the failure is cleared once they are gone.
select copied.agent_id
  from (select distinct a.template_id as agent_id from agenthall.assistants a
         where a.template_id is not null and a.origin = :source
           and (:after::uuid is null or a.template_id > :after)
        union
        select s.agent_id from agenthall.agent_sync s
         where s.failure is not null and s.source = :source and (:after::uuid is null or s.agent_id > :after)) copied
 order by copied.agent_id
 limit :limit

-- name: update_copies
-- Writes every copy that differs from its agent, retired ones included, in one statement. `given` are the payloads of
-- :page for agents that have copies, and `ledger` locks their ledger rows. `latest` are the payloads without a later
-- read. `held` locks their copies in the order of ids. `merged` is the new content, and whether it differs.
--
-- Returns one row for each agent that has copies.
with given as materialized (
  select g.agent_id, g.agent_id as ledger_id, g.graph_id, g.name, g.description, g.config, g.metadata,
         g.organization_id, g.hash, :source::text as source, (g.metadata ->> 'synced_at')::timestamptz as read_at
    from json_to_recordset(:page::json)
      as g (agent_id uuid, graph_id text, name text, description text, config jsonb, metadata jsonb,
            organization_id uuid, hash text)
   where exists (select from agenthall.assistants a where a.template_id = g.agent_id and a.origin = :source)
), ledger as ({claimed}), latest as materialized (
  select g.agent_id from given g join ledger l on l.agent_id = g.ledger_id and {is_latest}
), held as (
  select a.assistant_id, a.template_id, a.graph_id, a.name, a.description, a.config, a.context, a.metadata,
         a.organization_id, a.retired_at
    from agenthall.assistants a
   where a.template_id in (select latest.agent_id from latest) and a.origin = :source
   order by a.assistant_id
     for no key update
), merged as (
  select a.assistant_id, a.template_id, g.graph_id, g.name, g.description, {config} as config, {context} as context,
         {metadata} as metadata, g.organization_id, g.hash, {same} as is_same
    from given g
    join held a on a.template_id = g.agent_id
), updated as (
  update agenthall.assistants a
     set version = {next_version}, graph_id = m.graph_id, name = m.name, description = m.description, config = m.config,
         context = m.context, metadata = m.metadata, organization_id = m.organization_id, catalogue_hash = m.hash,
         retired_at = null, updated_at = clock_timestamp()
    from merged m
   where a.assistant_id = m.assistant_id and not m.is_same
  returning a.assistant_id
)
select m.template_id as agent_id, count(*) as copies, count(u.assistant_id) as written
  from merged m
  left join updated u on u.assistant_id = m.assistant_id
 group by m.template_id
union all
select g.agent_id, 0, 0 from given g where g.agent_id not in (select latest.agent_id from latest)
