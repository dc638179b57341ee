-- Create the schemas for our tables and for LangGraph's, and the two roles that the server works as. The server never
-- works as the login that DATABASE_URL names.
create schema if not exists agenthall;
create schema if not exists langgraph;

-- Roles belong to the whole cluster, so the migration of another database may create them at the same moment.
do $$
declare
  role_name text;
  -- Since PostgreSQL 16 the creator of a role is a member of it, but without the right to SET ROLE.
  wanted text := case when current_setting('server_version_num')::integer >= 160000 then 'set' else 'member' end;
begin
  foreach role_name in array array['agenthall_app', 'agenthall_system'] loop
    begin
      execute format('create role %I nologin', role_name);
    exception when duplicate_object or unique_violation then null;
    end;
    begin
      -- An operator may have granted a role that exists already, and only the operator may have the right to.
      if not pg_has_role(current_user, role_name, wanted) then
        execute format('grant %I to current_user', role_name);
      end if;
    exception when unique_violation then null; -- another database of this cluster granted it at the same moment
    end;
  end loop;
end $$;

grant usage on schema agenthall to agenthall_app, agenthall_system;
grant usage on schema langgraph to agenthall_system;
alter default privileges in schema langgraph grant select, insert, update, delete on tables to agenthall_system;

-- The principal, for row-level security. act_as() sets it for one transaction, and the policies below read it.
create function agenthall.act_as(p_identity text, p_organizations text, p_is_admin boolean) returns boolean
language plpgsql volatile as $$
begin
  perform set_config('agenthall.identity', p_identity, true),
          set_config('agenthall.organizations', p_organizations, true),
          set_config('agenthall.admin', p_is_admin::text, true);
  return true;
end $$;
comment on function agenthall.act_as is
  'Set the principal of this transaction. p_organizations: a uuid[] literal, or * for a member of every organization.';

create function agenthall.current_identity() returns text language sql stable as
$$ select nullif(current_setting('agenthall.identity', true), '') $$;

create function agenthall.current_is_admin() returns boolean language sql stable as
$$ select coalesce(nullif(current_setting('agenthall.admin', true), ''), 'false')::boolean $$;

create function agenthall.current_has_every_organization() returns boolean language sql stable as
$$ select coalesce(current_setting('agenthall.organizations', true), '') = '*' $$;

create function agenthall.current_organizations() returns uuid[] language sql stable as
$$ select coalesce(nullif(nullif(current_setting('agenthall.organizations', true), '*'), ''), '{}')::uuid[] $$;

-- Format a timestamp as the API writes it. Declared STABLE because to_char is: PostgreSQL cannot inline a function that
-- is declared IMMUTABLE but calls a stable one, and then it costs five times as much.
create function agenthall.iso(p_moment timestamptz) returns text language sql stable parallel safe as
$$ select to_char(p_moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"') $$;

-- A session keeps its plans until it ends or autovacuum analyzes a table. A plan made for three rows reads all rows of
-- a table that has grown to three thousand (ADR 7).
create function agenthall.discard_outgrown_plans() returns void language plpgsql as $$
declare
  v_then jsonb := nullif(current_setting('agenthall.planned_for', true), '');
  v_now  jsonb := (
    select jsonb_object_agg(c.oid, pg_stat_get_live_tuples(c.oid)) from pg_class c
     where c.relkind = 'r'
       and c.relnamespace in (to_regnamespace('agenthall'), to_regnamespace('mcp'), to_regnamespace('langgraph')));
begin
  if v_then is null or exists (
    select from jsonb_each_text(v_now) rows
     where rows.value::bigint > 2 * coalesce((v_then ->> rows.key)::bigint, 0) + 100)
  then
    perform set_config('agenthall.planned_for', v_now::text, false);
    discard plans;
  end if;
end $$;
comment on function agenthall.discard_outgrown_plans is
  'Discard all plans of this session once a table has more than twice as many rows as when they were made.';
