-- The names and ids of registered agents.

-- name: taken_ids
-- Runs as agenthall_system. Reads all configurations: for operators.
select c.agent_id
  from mcp.agent_configurations c
  join agenthall.assistants a on a.assistant_id = c.id and a.origin <> 'instances'
 where c.enabled and mcp.effective_execution(c.execution, c.model_id, c.system_prompt) = 'instances'
 order by c.agent_id
 limit :limit
