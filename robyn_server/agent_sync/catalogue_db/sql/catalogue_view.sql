-- Agenthall: create the view through which the server reads the catalogue, over the five standard tables. If your
-- tables differ, change the expressions and the FROM clause, and keep the names and types of the columns.
-- docs/reference/catalogue.md describes each column.
--
-- An operator applies this file to the catalogue's database; the server never does. To use the view, set
--   AGENT_SYNC_CATALOGUE={setting}
--
-- The view returns each active agent once. These columns are required: agent_id, organization_id, name, system_prompt,
-- runtime_model_name, mcp_tools.
begin;

create schema if not exists {schema};

create or replace view {view} as
select a.id as agent_id,
       a.organization_id,
       a.name,
       a.description,
       a.is_global,
       a.system_prompt,
       a.sampling_params,
       a.assistant_tool_ids,
       a.langgraph_assistant_id, -- the server writes back only if this column exists
       a.graph_id,
       a.engine_type,
       -- null: the agent names no engine and gets the default model; false: the engine it names does not exist
       case when a.engine_id is not null then e.id is not null end as engine_found,
       m.runtime_model_name,
       coalesce((
         select jsonb_agg(jsonb_build_object(
                  'tool_id', l.mcp_tool_id, 'tool_found', t.id is not null, 'tool_name', t.tool_name,
                  'endpoint_url', t.endpoint_url, 'is_builtin', t.is_builtin, 'auth_required', t.auth_required)
                  order by l.mcp_tool_id)
           from public.agent_mcp_tools l
           left join public.mcp_tools t on t.id = l.mcp_tool_id
          where l.agent_id = a.id), '[]') as mcp_tools,
       -- Without the catalogue feed the server finds edits by this column. If all tables have it, select the latest:
       --   greatest(a.updated_at, e.updated_at, m.updated_at,
       --            (select max(t.updated_at) from … where l.agent_id = a.id))
       a.updated_at
  from public.agents a
  -- If engines come from other tables too, join them here: the view needs only the name of their model.
  left join public.global_ai_engines e
    on e.id::text = a.engine_id::text and coalesce(a.engine_type::text, 'global') = 'global'
  left join public.ai_models m on m.id::text = e.language_model_id::text
 where a.status::text = 'active' and a.deleted_at is null;

{grants}
commit;
