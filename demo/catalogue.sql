-- Create the sample catalogue: the five tables of a product database that agent sync reads, with the agents of two
-- organizations. The server loads it once into an empty embedded database, and never into a database that you
-- configured.
--
--   psql -1 -v ON_ERROR_STOP=1 -f catalogue.sql \
--     -v legal_mcp_url=http://127.0.0.1:18101/mcp -v documents_mcp_url=http://127.0.0.1:18102/mcp
--
-- The models are offline models: they need no key and send nothing over the network.

create table public.ai_models (
  id                 uuid primary key,
  runtime_model_name text not null
);

create table public.global_ai_engines (
  id                uuid primary key,
  language_model_id uuid not null references public.ai_models
);

create table public.mcp_tools (
  id            uuid primary key,
  endpoint_url  text not null,
  tool_name     text not null,
  is_builtin    boolean not null default false,
  auth_required boolean not null default false
);

create table public.agents (
  id                     uuid primary key default gen_random_uuid(),
  organization_id        uuid,
  name                   text not null,
  description            text,
  is_global              boolean not null default false,
  system_prompt          text,
  sampling_params        jsonb not null default '{}',
  assistant_tool_ids     uuid[] not null default '{}',
  langgraph_assistant_id text,
  graph_id               text not null default 'agent',
  engine_id              uuid,
  engine_type            text not null default 'global',
  status                 text not null default 'active',
  deleted_at             timestamptz,
  created_at             timestamptz not null default now(),
  updated_at             timestamptz not null default now()
);
create index on public.agents (organization_id);

create table public.agent_mcp_tools (
  agent_id    uuid not null references public.agents on delete cascade,
  mcp_tool_id uuid not null references public.mcp_tools on delete cascade,
  primary key (agent_id, mcp_tool_id)
);

insert into public.ai_models (id, runtime_model_name) values
  ('a1000000-0000-4000-8000-000000000001', 'offline:demo'),
  ('a1000000-0000-4000-8000-000000000002', 'offline:slow');

insert into public.global_ai_engines (id, language_model_id) values
  ('e1000000-0000-4000-8000-000000000001', 'a1000000-0000-4000-8000-000000000001'),
  ('e1000000-0000-4000-8000-000000000002', 'a1000000-0000-4000-8000-000000000002');

insert into public.mcp_tools (id, endpoint_url, tool_name) values
  ('70000000-0000-4000-8000-000000000001', :'legal_mcp_url',     'search_law'),
  ('70000000-0000-4000-8000-000000000002', :'legal_mcp_url',     'cite_law'),
  ('70000000-0000-4000-8000-000000000003', :'documents_mcp_url', 'search_docs'),
  ('70000000-0000-4000-8000-000000000004', :'documents_mcp_url', 'read_document'),
  ('70000000-0000-4000-8000-000000000005', :'documents_mcp_url', 'word_count');

-- Agents of Harbour Law (0a…), a law firm
insert into public.agents (id, organization_id, name, description, system_prompt, sampling_params, engine_id) values
  ('1a000000-0000-4000-8000-000000000001', '0a000000-0000-4000-8000-000000000001', 'Legal Researcher',
   'Finds the law and the documents that a question needs.',
   'You are the legal researcher of Harbour Law. Search the law before you answer, read the firm''s documents where '
   'they matter, cite the sections that you rely on, and say plainly when you have found nothing.',
   '{"temperature": 0.2, "max_tokens": 1200}', 'e1000000-0000-4000-8000-000000000001'),
  ('1a000000-0000-4000-8000-000000000002', '0a000000-0000-4000-8000-000000000001', 'Document Finder',
   'Looks things up in the firm''s documents, and nowhere else.',
   'You find documents for the people of Harbour Law. Search first, then answer in two sentences and name the '
   'documents.',
   '{"temperature": 0}', 'e1000000-0000-4000-8000-000000000001'),
  ('1a000000-0000-4000-8000-000000000003', '0a000000-0000-4000-8000-000000000001', 'Slow Thinker',
   'Takes its time: good for watching a stream, or stopping one.',
   'You think aloud, one step at a time, before you answer.',
   '{}', 'e1000000-0000-4000-8000-000000000002');

-- Agents of Meadow Press (0b…), a publisher
insert into public.agents (
  id, organization_id, name, description, system_prompt, sampling_params, engine_id, assistant_tool_ids, status) values
  ('1b000000-0000-4000-8000-000000000001', '0b000000-0000-4000-8000-000000000002', 'Copy Editor',
   'Shortens and smooths a text. Has no tools.',
   'You are the copy editor of Meadow Press. Prefer short words and short sentences, keep the author''s voice, '
   'and explain each cut.',
   '{"temperature": 0.7, "top_p": 0.9}', 'e1000000-0000-4000-8000-000000000001', '{}', 'active'),
  ('1b000000-0000-4000-8000-000000000002', '0b000000-0000-4000-8000-000000000002', 'Managing Editor',
   'Plans an issue and hands texts on to the copy editor.',
   'You plan the next issue of Meadow Press: ask what is ready, count the words, and hand texts on to the copy editor.',
   '{}', 'e1000000-0000-4000-8000-000000000001', '{1b000000-0000-4000-8000-000000000001}', 'active'),
  ('1b000000-0000-4000-8000-000000000003', '0b000000-0000-4000-8000-000000000002', 'Retired Proofreader',
   'Disabled: set its status to active, and it answers again.',
   'You were the proofreader of Meadow Press.',
   '{}', 'e1000000-0000-4000-8000-000000000001', '{}', 'disabled');

insert into public.agent_mcp_tools (agent_id, mcp_tool_id)
select '1a000000-0000-4000-8000-000000000001'::uuid, t.id from public.mcp_tools t
 where t.tool_name in ('search_law', 'cite_law', 'search_docs', 'read_document')
union all
select '1a000000-0000-4000-8000-000000000002', t.id from public.mcp_tools t where t.tool_name = 'search_docs'
union all
select '1b000000-0000-4000-8000-000000000002', t.id from public.mcp_tools t where t.tool_name = 'word_count';
