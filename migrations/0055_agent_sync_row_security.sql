-- Let a principal see the ledger of agent sync only where it sees the agent's assistant, or its own copy of it.
create index assistants_template_owner on agenthall.assistants (template_id, owner_id) where template_id is not null;
drop index agenthall.assistants_template;

alter table agenthall.agent_sync enable row level security;
alter table agenthall.agent_sync force row level security;
create policy system_all on agenthall.agent_sync to agenthall_system using (true) with check (true);
create policy select_of_visible on agenthall.agent_sync for select to agenthall_app using (
  exists (select from agenthall.assistants a where a.assistant_id = agent_sync.agent_id)
  or exists (
    select from agenthall.assistants a
     where a.template_id = agent_sync.agent_id and a.owner_id = (select agenthall.current_identity()))
  or (select agenthall.current_is_admin()));

-- The app reads whether an agent was synced a short while ago.
revoke select on agenthall.agent_sync from agenthall_app;
grant select (agent_id, source, checked_at, last_action) on agenthall.agent_sync to agenthall_app;
