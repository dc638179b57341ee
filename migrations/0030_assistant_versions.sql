-- Let clients list the versions of an assistant, and set it back to one of them.

-- Record a version for each write of an assistant, including writes that do not come from the API. A write with a
-- version that exists must have its content: a version never changes.
create or replace function agenthall.record_version() returns trigger language plpgsql as $$
begin
  insert into agenthall.assistant_versions (
    assistant_id, version, graph_id, name, description, config, context, metadata)
  values (new.assistant_id, new.version, new.graph_id, new.name, new.description,
          new.config, new.context, new.metadata)
  on conflict (assistant_id, version) do nothing;
  if not found and not exists (
    select from agenthall.assistant_versions v
     where v.assistant_id = new.assistant_id and v.version = new.version
       and (v.graph_id, v.name, v.config, v.context, v.metadata)
         = (new.graph_id, new.name, new.config, new.context, new.metadata)
       and v.description is not distinct from new.description)
  then
    raise exception 'assistant % has another version %, which never changes', new.assistant_id, new.version
      using errcode = 'unique_violation', constraint = 'assistant_versions_pkey';
  end if;
  return null;
end $$;

create function agenthall.version_json(v agenthall.assistant_versions) returns json language sql stable as $$
  select json_build_object(
    'assistant_id', v.assistant_id, 'version', v.version, 'graph_id', v.graph_id, 'config', v.config,
    'context', v.context, 'metadata', v.metadata, 'created_at', agenthall.iso(v.created_at), 'name', v.name,
    'description', v.description)
$$;

-- Hide the versions that an agent had in another organization. The agent may move between organizations, and its
-- prompt and the keys that members added do not follow it (0016).
alter policy select_of_visible on agenthall.assistant_versions using (
  exists (
    select from agenthall.assistants a
     where a.assistant_id = assistant_versions.assistant_id
       and (a.origin in ('client', 'graph')
            or (select agenthall.current_is_admin())
            or a.metadata ->> 'supabase_organization_id'
               is not distinct from assistant_versions.metadata ->> 'supabase_organization_id')));
