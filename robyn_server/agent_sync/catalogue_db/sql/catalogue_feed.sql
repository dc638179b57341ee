-- Agenthall: install the catalogue feed, which notifies the server of edited agents so that edits are live within a
-- second.
--
-- An operator applies this file to the catalogue's database; the server never does. Applying it again is safe. To
-- remove it:
--   drop schema agenthall_catalogue cascade;
--
-- Statement-level triggers on the five tables send one NOTIFY with the ids of the edited agents. Above 200 agents they
-- send `*`, and the server compares all agents. The server listens with the login of CATALOGUE_DATABASE_URL, which
-- needs no extra privilege.
--
-- The functions are SECURITY DEFINER, so a user who edits one of the tables needs no privilege on the others.
begin;

create schema if not exists agenthall_catalogue;

create or replace function agenthall_catalogue.notify_agents(ids uuid[]) returns void
language plpgsql security definer set search_path = pg_catalog as $$
begin
  if cardinality(ids) > 200 then
    perform pg_notify('agenthall_catalogue', '*');
  elsif cardinality(ids) > 0 then
    perform pg_notify('agenthall_catalogue', array_to_string(ids, ','));
  end if;
end $$;

create or replace function agenthall_catalogue.agents_changed() returns trigger
language plpgsql security definer set search_path = pg_catalog as $$
begin
  if tg_op = 'INSERT' then
    perform agenthall_catalogue.notify_agents(array(select id from new_rows));
  elsif tg_op = 'DELETE' then
    perform agenthall_catalogue.notify_agents(array(select id from old_rows));
  else -- an update that changes only what the server itself writes back is ignored
    perform agenthall_catalogue.notify_agents(array(
      select coalesce(n.id, o.id) from old_rows o full join new_rows n on n.id = o.id
       where (to_jsonb(o) - array['langgraph_assistant_id', 'updated_at'])
             is distinct from (to_jsonb(n) - array['langgraph_assistant_id', 'updated_at'])));
  end if;
  return null;
end $$;

create or replace function agenthall_catalogue.links_changed() returns trigger
language plpgsql security definer set search_path = pg_catalog as $$
begin
  if tg_op = 'INSERT' then
    perform agenthall_catalogue.notify_agents(array(select distinct agent_id from new_rows));
  elsif tg_op = 'DELETE' then
    perform agenthall_catalogue.notify_agents(array(select distinct agent_id from old_rows));
  else
    perform agenthall_catalogue.notify_agents(array(select agent_id from old_rows union select agent_id from new_rows));
  end if;
  return null;
end $$;

create or replace function agenthall_catalogue.tools_changed() returns trigger
language plpgsql security definer set search_path = pg_catalog as $$
begin
  if tg_op = 'DELETE' then
    perform agenthall_catalogue.notify_agents(array(
      select distinct l.agent_id from public.agent_mcp_tools l join old_rows t on t.id = l.mcp_tool_id));
  else
    perform agenthall_catalogue.notify_agents(array(
      select distinct l.agent_id from public.agent_mcp_tools l join new_rows t on t.id = l.mcp_tool_id));
  end if;
  return null;
end $$;

create or replace function agenthall_catalogue.engines_changed() returns trigger
language plpgsql security definer set search_path = pg_catalog as $$
begin
  if tg_op = 'DELETE' then
    perform agenthall_catalogue.notify_agents(array(
      select a.id from public.agents a join old_rows e on e.id::text = a.engine_id::text));
  else
    perform agenthall_catalogue.notify_agents(array(
      select a.id from public.agents a join new_rows e on e.id::text = a.engine_id::text));
  end if;
  return null;
end $$;

create or replace function agenthall_catalogue.models_changed() returns trigger
language plpgsql security definer set search_path = pg_catalog as $$
begin
  if tg_op = 'DELETE' then
    perform agenthall_catalogue.notify_agents(array(
      select a.id from public.agents a join public.global_ai_engines e on e.id::text = a.engine_id::text
        join old_rows m on m.id::text = e.language_model_id::text));
  else
    perform agenthall_catalogue.notify_agents(array(
      select a.id from public.agents a join public.global_ai_engines e on e.id::text = a.engine_id::text
        join new_rows m on m.id::text = e.language_model_id::text));
  end if;
  return null;
end $$;

create or replace function agenthall_catalogue.truncated() returns trigger
language plpgsql security definer set search_path = pg_catalog as $$
begin
  perform pg_notify('agenthall_catalogue', '*');
  return null;
end $$;

do $$
declare
  watched record;
begin
  for watched in
    select * from (values
      ('agents', 'agents_changed'), ('agent_mcp_tools', 'links_changed'), ('mcp_tools', 'tools_changed'),
      ('global_ai_engines', 'engines_changed'), ('ai_models', 'models_changed')) as w (name, function_name)
  loop
    execute format('drop trigger if exists agenthall_insert on public.%I', watched.name);
    execute format('drop trigger if exists agenthall_update on public.%I', watched.name);
    execute format('drop trigger if exists agenthall_delete on public.%I', watched.name);
    execute format('drop trigger if exists agenthall_truncate on public.%I', watched.name);
    execute format('create trigger agenthall_insert after insert on public.%I referencing new table as new_rows
                    for each statement execute function agenthall_catalogue.%I()', watched.name, watched.function_name);
    execute format('create trigger agenthall_update after update on public.%I
                    referencing old table as old_rows new table as new_rows
                    for each statement execute function agenthall_catalogue.%I()', watched.name, watched.function_name);
    execute format('create trigger agenthall_delete after delete on public.%I referencing old table as old_rows
                    for each statement execute function agenthall_catalogue.%I()', watched.name, watched.function_name);
    execute format('create trigger agenthall_truncate after truncate on public.%I
                    for each statement execute function agenthall_catalogue.truncated()', watched.name);
  end loop;
end $$;

commit;
