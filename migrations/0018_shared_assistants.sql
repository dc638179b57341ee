-- Let only the owner and administrators change a shared assistant. Until now, every member of its organization could
-- change it for all of them.
drop policy update_own_or_shared on agenthall.assistants;
create policy update_own on agenthall.assistants for update to agenthall_app using (
  (select agenthall.current_is_admin())
  or (owner_id = (select agenthall.current_identity()) and visibility = 'private'
      and (template_id is null or agenthall.is_current_member(organization_id)))
  or (owner_id = (select agenthall.current_identity()) and visibility = 'organization'
      and agenthall.is_current_member(organization_id)));
