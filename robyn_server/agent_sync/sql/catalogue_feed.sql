-- Agenthall: tells the server which agents an edit of the catalogue concerns, so that it is live within a second.
--
-- Applied by an operator to the catalogue's database; the server never does. It may be applied again, and is taken away by
--   drop schema agenthall_catalogue cascade;
--
-- Statement-level triggers on the five tables send one NOTIFY with the ids of the agents concerned, or `*` for "look at all" when
-- they are many. The server listens with the login of CATALOGUE_DATABASE_URL, which needs no right for that.
-- The functions are SECURITY DEFINER: whoever edits one table need not be allowed to read the others.
begin;

create schema if not exists agenthall_catalogue;

create or replace function agenthall_catalogue.tell(ids uuid[]) returns void
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
    perform agenthall_catalogue.tell(array(select id from new_rows));
  elsif tg_op = 'DELETE' then
    perform agenthall_catalogue.tell(array(select id from old_rows));
  else -- the server's own write-back is no news
    perform agenthall_catalogue.tell(array(
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
    perform agenthall_catalogue.tell(array(select distinct agent_id from new_rows));
  elsif tg_op = 'DELETE' then
    perform agenthall_catalogue.tell(array(select distinct agent_id from old_rows));
  else
    perform agenthall_catalogue.tell(array(select agent_id from old_rows union select agent_id from new_rows));
  end if;
  return null;
end $$;

create or replace function agenthall_catalogue.tools_changed() returns trigger
language plpgsql security definer set search_path = pg_catalog as $$
begin
  if tg_op = 'DELETE' then
    perform agenthall_catalogue.tell(array(
      select distinct l.agent_id from public.agent_mcp_tools l join old_rows t on t.id = l.mcp_tool_id));
  else
    perform agenthall_catalogue.tell(array(
      select distinct l.agent_id from public.agent_mcp_tools l join new_rows t on t.id = l.mcp_tool_id));
  end if;
  return null;
end $$;

create or replace function agenthall_catalogue.engines_changed() returns trigger
language plpgsql security definer set search_path = pg_catalog as $$
begin
  if tg_op = 'DELETE' then
    perform agenthall_catalogue.tell(array(
      select a.id from public.agents a join old_rows e on e.id::text = a.engine_id::text));
  else
    perform agenthall_catalogue.tell(array(
      select a.id from public.agents a join new_rows e on e.id::text = a.engine_id::text));
  end if;
  return null;
end $$;

create or replace function agenthall_catalogue.models_changed() returns trigger
language plpgsql security definer set search_path = pg_catalog as $$
begin
  if tg_op = 'DELETE' then
    perform agenthall_catalogue.tell(array(
      select a.id from public.agents a join public.global_ai_engines e on e.id::text = a.engine_id::text
        join old_rows m on m.id::text = e.language_model_id::text));
  else
    perform agenthall_catalogue.tell(array(
      select a.id from public.agents a join public.global_ai_engines e on e.id::text = a.engine_id::text
        join new_rows m on m.id::text = e.language_model_id::text));
  end if;
  return null;
end $$;

create or replace function agenthall_catalogue.emptied() returns trigger
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
    select * from (values ('agents', 'agents_changed'), ('agent_mcp_tools', 'links_changed'), ('mcp_tools', 'tools_changed'),
                          ('global_ai_engines', 'engines_changed'), ('ai_models', 'models_changed')) as w (name, told_by)
  loop
    execute format('drop trigger if exists agenthall_insert on public.%I', watched.name);
    execute format('drop trigger if exists agenthall_update on public.%I', watched.name);
    execute format('drop trigger if exists agenthall_delete on public.%I', watched.name);
    execute format('drop trigger if exists agenthall_truncate on public.%I', watched.name);
    execute format('create trigger agenthall_insert after insert on public.%I referencing new table as new_rows
                    for each statement execute function agenthall_catalogue.%I()', watched.name, watched.told_by);
    execute format('create trigger agenthall_update after update on public.%I referencing old table as old_rows new table as new_rows
                    for each statement execute function agenthall_catalogue.%I()', watched.name, watched.told_by);
    execute format('create trigger agenthall_delete after delete on public.%I referencing old table as old_rows
                    for each statement execute function agenthall_catalogue.%I()', watched.name, watched.told_by);
    execute format('create trigger agenthall_truncate after truncate on public.%I
                    for each statement execute function agenthall_catalogue.emptied()', watched.name);
  end loop;
end $$;

commit;
