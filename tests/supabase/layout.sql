-- A database as Supabase lays one out, applied by supabase_admin, its superuser; the login `postgres` is none, but has BYPASSRLS.
create role postgres login createdb createrole replication bypassrls password 'postgres-password';
create role anon nologin noinherit;
create role authenticated nologin noinherit;
create role service_role nologin noinherit bypassrls;
create role authenticator login noinherit password 'authenticator-password';
grant anon, authenticated, service_role to authenticator;
grant anon, authenticated, service_role, authenticator to postgres with admin option;

grant all on database postgres to postgres;
alter schema public owner to pg_database_owner;
grant all on schema public to postgres;
grant usage on schema public to anon, authenticated, service_role;
alter default privileges for role postgres in schema public grant all on tables to postgres, anon, authenticated, service_role;
alter default privileges for role postgres in schema public grant all on functions to postgres, anon, authenticated, service_role;
alter default privileges for role postgres in schema public grant all on sequences to postgres, anon, authenticated, service_role;

create schema extensions authorization postgres;
grant usage on schema extensions to anon, authenticated, service_role;

create schema auth;
grant usage on schema auth to anon, authenticated, service_role, postgres;
create table auth.users (id uuid primary key, email text);
grant all on auth.users to postgres;
create function auth.jwt() returns jsonb language sql stable as
$$ select coalesce(nullif(current_setting('request.jwt.claims', true), ''), '{}')::jsonb $$;
create function auth.uid() returns uuid language sql stable as $$ select nullif(auth.jwt() ->> 'sub', '')::uuid $$;
create function auth.role() returns text language sql stable as $$ select auth.jwt() ->> 'role' $$;
grant execute on all functions in schema auth to anon, authenticated, service_role, postgres;

-- The product's tables, which its owner creates in the SQL editor.
set role postgres;
create table public.organization_members (
  organization_id uuid not null, user_id uuid not null references auth.users, primary key (organization_id, user_id));
create table public.ai_models (id uuid primary key, runtime_model_name text);
create table public.global_ai_engines (id uuid primary key, language_model_id uuid references public.ai_models);
create table public.agents (
  id uuid primary key default gen_random_uuid(), organization_id uuid, name text, description text, is_global boolean default false,
  system_prompt text, sampling_params jsonb, assistant_tool_ids uuid[], langgraph_assistant_id uuid, graph_id text, engine_id uuid,
  engine_type text, status text default 'active', deleted_at timestamptz,
  created_at timestamptz default now(), updated_at timestamptz default now());
create table public.mcp_tools (
  id uuid primary key, endpoint_url text, tool_name text, is_builtin boolean default false, auth_required boolean default false);
create table public.agent_mcp_tools (
  agent_id uuid references public.agents on delete cascade, mcp_tool_id uuid references public.mcp_tools,
  primary key (agent_id, mcp_tool_id));

do $$
declare
  name text;
begin
  foreach name in array array['agents', 'agent_mcp_tools', 'mcp_tools', 'global_ai_engines', 'ai_models', 'organization_members'] loop
    execute format('alter table public.%I enable row level security', name);
    execute format('alter table public.%I force row level security', name);
  end loop;
end $$;
create policy own on public.organization_members to authenticated using (user_id = (select auth.uid()));
create policy members on public.agents to authenticated
  using (organization_id in (select m.organization_id from public.organization_members m where m.user_id = (select auth.uid())));
create policy members on public.agent_mcp_tools to authenticated
  using (agent_id in (select a.id from public.agents a));
create policy readers on public.mcp_tools for select to authenticated using (true);
create policy readers on public.global_ai_engines for select to authenticated using (true);
create policy readers on public.ai_models for select to authenticated using (true);
reset role;
