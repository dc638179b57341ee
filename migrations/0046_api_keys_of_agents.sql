-- Let an API key be bound to types of agents: it writes only their instances and configurations, and reads as before.
create function mcp.is_agent_id_list(agent_ids text[]) returns boolean language plpgsql immutable parallel safe as $$
begin
  return coalesce(array_ndims(agent_ids), 1) = 1 and cardinality(agent_ids) between 1 and 64
     and (select bool_and(coalesce(mcp.is_agent_id(a), false)) from unnest(agent_ids) a);
end $$;
comment on function mcp.is_agent_id_list is 'Return whether the list has 1 to 64 names of types of agents.';

alter table agenthall.api_keys
  add column agents text[],
  add constraint api_keys_agents check (mcp.is_agent_id_list(agents));
comment on column agenthall.api_keys.agents is
  'agent_ids of the only instances and configurations that the key may write; null: any';
