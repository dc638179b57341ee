-- Agenthall: the catalogue's contract as one view, here over the five standard tables. A product whose tables differ changes what
-- is selected and from where, and keeps the names and types of the columns; docs/catalogue.md says what each of them means.
--
-- Applied by an operator to the catalogue's database; the server never does. It is used with
--   AGENT_SYNC_CATALOGUE={setting}
-- Active agents only, each once. A required column: agent_id, organization_id, name, system_prompt, runtime_model_name, mcp_tools.
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
       a.langgraph_assistant_id, -- without this column nothing is written back
       a.graph_id,
       a.engine_type,
       -- null: the agent names no engine, and gets the default model; false: it names one that cannot be resolved, and is a failure
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
       -- where edits are found by time: the latest of all rows that this agent is made of, as in
       --   greatest(a.updated_at, e.updated_at, m.updated_at, (select max(t.updated_at) from … where l.agent_id = a.id))
       a.updated_at
  from public.agents a
  -- engines of a private table are joined here, too: the model's name is all that is asked for
  left join public.global_ai_engines e on e.id::text = a.engine_id::text and coalesce(a.engine_type::text, 'global') = 'global'
  left join public.ai_models m on m.id::text = e.language_model_id::text
 where a.status::text = 'active' and a.deleted_at is null;

{grants}
commit;
