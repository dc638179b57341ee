-- Let assistants be copies of a template agent (AGENT_SYNC_TEMPLATES). Each user has a private copy, and sees it only
-- while being a member of the agent's organization.
alter table agenthall.assistants add column template_id uuid;
comment on column agenthall.assistants.template_id is
  'the template agent that this assistant is a user''s copy of; null for any other assistant';
alter table agenthall.assistants add constraint assistants_template check (
  template_id is null or (visibility = 'private' and catalogue_hash is not null));
create index assistants_template on agenthall.assistants (template_id) where template_id is not null;

create function agenthall.is_current_member(p_organization_id uuid) returns boolean language sql stable as $$
  select p_organization_id = any ((select agenthall.current_organizations())::uuid[])
      or (p_organization_id is not null and (select agenthall.current_has_every_organization()))
$$;

alter policy select_visible on agenthall.assistants using (
  (select agenthall.current_is_admin())
  or visibility = 'everyone'
  or (visibility = 'private' and owner_id = (select agenthall.current_identity())
      and (template_id is null or agenthall.is_current_member(organization_id)))
  or (visibility = 'organization' and (
       organization_id = any ((select agenthall.current_organizations())::uuid[])
       or (organization_id is not null and (select agenthall.current_has_every_organization())))));
alter policy update_own_or_shared on agenthall.assistants using (
  (select agenthall.current_is_admin())
  or (visibility = 'private' and owner_id = (select agenthall.current_identity())
      and (template_id is null or agenthall.is_current_member(organization_id)))
  or (visibility = 'organization' and (
       organization_id = any ((select agenthall.current_organizations())::uuid[])
       or (organization_id is not null and (select agenthall.current_has_every_organization())))));
