-- An agent that each user has a copy of (AGENT_SYNC_TEMPLATES): the copy is an assistant of its own, private to its user, and is
-- only seen while its user is a member of the agent's organisation.
alter table agenthall.assistants add column template_id uuid;
comment on column agenthall.assistants.template_id is
  'the catalogue''s agent that this assistant is one user''s copy of; null for every other assistant, also one that is shared';
alter table agenthall.assistants add constraint assistants_template check (
  template_id is null or (visibility = 'private' and catalogue_hash is not null));
create index assistants_template on agenthall.assistants (template_id) where template_id is not null;

create function agenthall.is_current_member(organization uuid) returns boolean language sql stable as $$
  select organization = any ((select agenthall.current_organizations())::uuid[])
      or (organization is not null and (select agenthall.current_is_everywhere()))
$$;

alter policy visible on agenthall.assistants using (
  (select agenthall.current_is_admin())
  or visibility = 'everyone'
  or (visibility = 'private' and owner_id = (select agenthall.current_identity())
      and (template_id is null or agenthall.is_current_member(organization_id)))
  or (visibility = 'organization' and (
       organization_id = any ((select agenthall.current_organizations())::uuid[])
       or (organization_id is not null and (select agenthall.current_is_everywhere())))));
alter policy changed on agenthall.assistants using (
  (select agenthall.current_is_admin())
  or (visibility = 'private' and owner_id = (select agenthall.current_identity())
      and (template_id is null or agenthall.is_current_member(organization_id)))
  or (visibility = 'organization' and (
       organization_id = any ((select agenthall.current_organizations())::uuid[])
       or (organization_id is not null and (select agenthall.current_is_everywhere())))));
