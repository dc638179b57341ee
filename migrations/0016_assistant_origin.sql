-- Record where each assistant comes from. The origin of an assistant never changes, and agent sync writes only
-- assistants of its own source. Before, a row of the catalogue with the id of a graph's default assistant took that
-- assistant over, for all organizations.
alter table agenthall.assistants add column origin text;

-- Forced row-level security would hide the rows from their owner.
alter table agenthall.assistants no force row level security;
alter table agenthall.assistant_versions no force row level security;

-- A default assistant is visible to everyone, and no assistant of another origin is. An origin is no new version.
alter table agenthall.assistants disable trigger record_version;
update agenthall.assistants
   set origin = case when visibility = 'everyone' then 'graph' when catalogue_hash is null then 'client'
                     else agent_source end;
alter table agenthall.assistants enable trigger record_version;
-- Empty the default assistants that the catalogue took over, and forget the versions that hold an agent's prompt. The
-- next start gives each its graph again.
delete from agenthall.assistant_versions v using agenthall.assistants a
 where v.assistant_id = a.assistant_id and a.origin = 'graph' and v.metadata ? 'supabase_agent_id';
update agenthall.assistants
   set name = graph_id, description = null, config = '{}', context = '{}', metadata = '{"created_by": "system"}',
       owner_id = 'system', organization_id = null, catalogue_hash = null, retired_at = null,
       version = version + 1, updated_at = clock_timestamp()
 where origin = 'graph' and catalogue_hash is not null;

alter table agenthall.assistants force row level security;
alter table agenthall.assistant_versions force row level security;

alter table agenthall.assistants alter column origin set not null, alter column origin set default 'client';
comment on column agenthall.assistants.origin is
  'creator of the assistant: a client, a graph (its default assistant), or agent sync, from the catalogue or from a '
  'configuration of the registry. It never changes.';
alter table agenthall.assistants
  add constraint assistants_origin check (origin in ('client', 'graph', 'catalogue', 'configuration')),
  add constraint assistants_synced check ((origin in ('catalogue', 'configuration')) = (catalogue_hash is not null)),
  add constraint assistants_default check (
    (origin = 'graph') = (visibility = 'everyone')
    and (origin <> 'graph' or (owner_id = 'system' and organization_id is null)));

create function agenthall.refuse_other_origin() returns trigger language plpgsql as $$
begin
  raise exception 'assistant % is of origin %, which never changes', old.assistant_id, old.origin
    using errcode = 'check_violation', constraint = 'assistants_origin';
end $$;
create trigger keep_origin before update on agenthall.assistants
  for each row when (old.origin <> new.origin) execute function agenthall.refuse_other_origin();

drop index agenthall.assistants_configured;
alter table agenthall.assistants drop column agent_source;
create index assistants_configured on agenthall.assistants (assistant_id) where origin = 'configuration';

-- Let clients create assistants of their own origin only, and delete none that agent sync created: an agent that was
-- retired may come back, with its history.
alter policy insert_own on agenthall.assistants with check (
  origin = 'client'
  and ((select agenthall.current_is_admin())
       or (visibility = 'private' and owner_id = (select agenthall.current_identity()))));
alter policy delete_own on agenthall.assistants using (
  origin in ('client', 'graph')
  and ((select agenthall.current_is_admin())
       or (visibility = 'private' and owner_id = (select agenthall.current_identity()))));
