-- Create assistants: served, versioned configurations of a graph. A version never changes, so a run keeps the version
-- that it began with.
create table agenthall.assistants (
  assistant_id    uuid primary key,
  version         integer not null default 1,
  graph_id        text not null,
  name            text not null,
  description     text,
  config          jsonb not null default '{}',
  context         jsonb not null default '{}',
  metadata        jsonb not null default '{}',
  owner_id        text not null,
  organization_id uuid,
  visibility      text not null,
  catalogue_hash  text,
  retired_at      timestamptz,
  created_at      timestamptz not null default now(),
  updated_at      timestamptz not null default now(),
  constraint assistants_visibility check (visibility in ('private', 'organization', 'everyone')),
  constraint assistants_json check (
    jsonb_typeof(config) = 'object' and jsonb_typeof(context) = 'object' and jsonb_typeof(metadata) = 'object')
);
comment on column agenthall.assistants.catalogue_hash is
  'hash of what the catalogue says about the agent; null for an assistant that does not come from the catalogue';
comment on column agenthall.assistants.retired_at is
  'when the catalogue stopped offering the agent. The assistant is hidden and cannot run, but keeps its threads.';
create index assistants_organization on agenthall.assistants (organization_id, created_at desc);
create index assistants_owner on agenthall.assistants (owner_id, created_at desc);
create index assistants_created on agenthall.assistants (created_at desc, assistant_id desc);
create index assistants_metadata on agenthall.assistants using gin (metadata jsonb_path_ops);

create table agenthall.assistant_versions (
  assistant_id uuid not null references agenthall.assistants on delete cascade,
  version      integer not null,
  graph_id     text not null,
  name         text not null,
  description  text,
  config       jsonb not null,
  context      jsonb not null,
  metadata     jsonb not null,
  created_at   timestamptz not null default now(),
  primary key (assistant_id, version)
);

-- Record a version for each write of an assistant, including writes that do not come from the API.
create function agenthall.record_version() returns trigger language plpgsql as $$
begin
  insert into agenthall.assistant_versions (
    assistant_id, version, graph_id, name, description, config, context, metadata)
  values (new.assistant_id, new.version, new.graph_id, new.name, new.description,
          new.config, new.context, new.metadata);
  return null;
end $$;
create trigger record_version after insert or update on agenthall.assistants
  for each row execute function agenthall.record_version();

create function agenthall.assistant_json(a agenthall.assistants) returns json language sql stable as $$
  select json_build_object(
    'assistant_id', a.assistant_id, 'graph_id', a.graph_id, 'config', a.config, 'context', a.context,
    'metadata', a.metadata, 'name', a.name,
    'created_at', agenthall.iso(a.created_at), 'updated_at', agenthall.iso(a.updated_at),
    'version', a.version, 'description', a.description)
$$;

alter table agenthall.assistants enable row level security;
alter table agenthall.assistants force row level security;
alter table agenthall.assistant_versions enable row level security;
alter table agenthall.assistant_versions force row level security;

grant select, insert, update, delete on agenthall.assistants to agenthall_app, agenthall_system;
grant select, insert on agenthall.assistant_versions to agenthall_app, agenthall_system;

create policy system_all on agenthall.assistants to agenthall_system using (true) with check (true);
create policy system_all on agenthall.assistant_versions to agenthall_system using (true) with check (true);

create policy select_visible on agenthall.assistants for select to agenthall_app using (
  (select agenthall.current_is_admin())
  or visibility = 'everyone'
  or (visibility = 'private' and owner_id = (select agenthall.current_identity()))
  or (visibility = 'organization' and (
       organization_id = any ((select agenthall.current_organizations())::uuid[])
       or (organization_id is not null and (select agenthall.current_has_every_organization())))));
create policy insert_own on agenthall.assistants for insert to agenthall_app with check (
  (select agenthall.current_is_admin())
  or (visibility = 'private' and owner_id = (select agenthall.current_identity())));
create policy update_own_or_shared on agenthall.assistants for update to agenthall_app using (
  (select agenthall.current_is_admin())
  or (visibility = 'private' and owner_id = (select agenthall.current_identity()))
  or (visibility = 'organization' and (
       organization_id = any ((select agenthall.current_organizations())::uuid[])
       or (organization_id is not null and (select agenthall.current_has_every_organization())))));
create policy delete_own on agenthall.assistants for delete to agenthall_app using (
  (select agenthall.current_is_admin())
  or (visibility = 'private' and owner_id = (select agenthall.current_identity())));
create policy select_of_visible on agenthall.assistant_versions for select to agenthall_app using (
  exists (select from agenthall.assistants a where a.assistant_id = assistant_versions.assistant_id));
create policy insert_of_visible on agenthall.assistant_versions for insert to agenthall_app with check (
  exists (select from agenthall.assistants a where a.assistant_id = assistant_versions.assistant_id));
