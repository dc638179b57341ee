-- Agents of the registry by their agent_id, and names and ids that others have, too.

-- name: find
-- Runs as agenthall_app. Two agents, because one is not enough to tell that a name means several.
select found.assistant_id, found.is_enabled
  from agenthall.act_as(:identity, :organizations, :is_admin, :grants) as acting
 cross join lateral (
   select a.assistant_id, a.is_enabled from agenthall.find_agents(:agent_id, :organization_id) a where acting
   offset 0) as found
 order by found.is_enabled desc

-- name: taken_ids
-- Runs as agenthall_system. Reads all configurations: for operators.
select c.agent_id
  from mcp.agent_configurations c
  join agenthall.assistants a on a.assistant_id = c.id and a.origin <> 'instances'
 where c.enabled and mcp.effective_execution(c.execution, c.model_id, c.system_prompt) = 'instances'
 order by c.agent_id
 limit :limit

-- name: names_of_graphs
-- Runs as agenthall_system.
select m.agent_id from mcp.agent_manifests m where m.agent_id = any (:graph_ids::text[]) order by m.agent_id
