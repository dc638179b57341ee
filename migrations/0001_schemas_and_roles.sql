-- Our tables, LangGraph's tables, and the two roles that the server works as. It never works as the login that DATABASE_URL names.
create schema if not exists agenthall;
create schema if not exists langgraph;

-- Roles belong to the whole cluster: another database of it may be making them at this very moment.
do $$
declare
  role_name text;
  -- from 16 on, whoever creates a role is a member of it, but one that may not work as it
  wanted text := case when current_setting('server_version_num')::integer >= 160000 then 'set' else 'member' end;
begin
  foreach role_name in array array['agenthall_app', 'agenthall_system'] loop
    begin
      execute format('create role %I nologin', role_name);
    exception when duplicate_object or unique_violation then null;
    end;
    begin
      if not pg_has_role(current_user, role_name, wanted) then -- where it exists already, an operator may have granted it
        execute format('grant %I to current_user', role_name);
      end if;
    exception when unique_violation then null; -- granted by another database of this cluster just now
    end;
  end loop;
end $$;

grant usage on schema agenthall to agenthall_app, agenthall_system;
grant usage on schema langgraph to agenthall_system;
alter default privileges in schema langgraph grant select, insert, update, delete on tables to agenthall_system;

-- Who is asking, for row-level security. Set for one transaction by act_as(), read by the policies below.
create function agenthall.act_as(identity text, organizations text, is_admin boolean) returns boolean
language plpgsql volatile as $$
begin
  perform set_config('agenthall.identity', identity, true),
          set_config('agenthall.organizations', organizations, true),
          set_config('agenthall.admin', is_admin::text, true);
  return true;
end $$;
comment on function agenthall.act_as is 'organizations: a uuid[] literal, or * for a member of every organisation';

create function agenthall.current_identity() returns text language sql stable as
$$ select nullif(current_setting('agenthall.identity', true), '') $$;

create function agenthall.current_is_admin() returns boolean language sql stable as
$$ select coalesce(nullif(current_setting('agenthall.admin', true), ''), 'false')::boolean $$;

create function agenthall.current_is_everywhere() returns boolean language sql stable as
$$ select coalesce(current_setting('agenthall.organizations', true), '') = '*' $$;

create function agenthall.current_organizations() returns uuid[] language sql stable as
$$ select coalesce(nullif(nullif(current_setting('agenthall.organizations', true), '*'), ''), '{}')::uuid[] $$;

-- Timestamps as the API writes them. Stable, as to_char is: what is called immutable and is not cannot be inlined, and costs five times as much.
create function agenthall.iso(moment timestamptz) returns text language sql stable parallel safe as
$$ select to_char(moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"') $$;

-- Plans are kept for as long as a session lives, or until autovacuum analyses a table. One made for three rows reads all of three thousand.
create function agenthall.forget_outgrown_plans() returns void language plpgsql as $$
declare
  v_then jsonb := nullif(current_setting('agenthall.planned_for', true), '');
  v_now  jsonb := (
    select jsonb_object_agg(c.oid, pg_stat_get_live_tuples(c.oid)) from pg_class c
     where c.relkind = 'r' and c.relnamespace in (to_regnamespace('agenthall'), to_regnamespace('mcp'), to_regnamespace('langgraph')));
begin
  if v_then is null or exists (
    select from jsonb_each_text(v_now) rows where rows.value::bigint > 2 * coalesce((v_then ->> rows.key)::bigint, 0) + 100)
  then
    perform set_config('agenthall.planned_for', v_now::text, false);
    discard plans;
  end if;
end $$;
comment on function agenthall.forget_outgrown_plans is 'All plans of this session, when a table has more than twice the rows that it had when they were made.';
