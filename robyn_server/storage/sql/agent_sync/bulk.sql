-- A page of agents at a time. Runs as agenthall_system.

-- include: agent_sync/fragments

-- fragment: changed
-- Names of the changed fields, in the order and form of engine/single.py.
array_remove(array[
    case when h.retired_at is not null then 'retired_at' end, case when h.graph_id <> m.graph_id then 'graph_id' end,
    case when h.name <> m.name then 'name' end,
    case when h.description is distinct from m.description then 'description' end]
  || array(
    select 'configurable.' || key from unnest(:catalogue_keys::text[]) as catalogue (key)
     where (h.config -> 'configurable' -> key)::text is distinct from (m.config -> 'configurable' -> key)::text
     order by key collate "C")
  || array[case when h.organization_id is distinct from m.organization_id then 'organization_id' end], null)

-- name: unchanged
-- Marks as skipped the agents whose fingerprint is the last one and whose assistant has the version of that time. An
-- agent that was missing is compared again. Sorting by id keeps two replicas from deadlocking.
with unchanged as (
  select s.agent_id
    from unnest(:agent_ids::uuid[], :fingerprints::bytea[]) as g (agent_id, fingerprint)
    join agenthall.agent_sync s on s.agent_id = g.agent_id and s.source = :source and s.fingerprint = g.fingerprint
    join agenthall.assistants a
      on a.assistant_id = s.agent_id and a.version = s.assistant_version and a.origin = :source
   where s.last_action <> 'missing' and a.template_id is null and a.owner_id in ('system', :owner_id)
   order by s.agent_id
     for no key update of s
)
update agenthall.agent_sync s
   set checked_at = now(), last_action = 'skipped', failure = null, write_back_pending = false,
       read_at = case when {outdated} then s.read_at else coalesce(g.read_at, s.read_at) end
  from unchanged
 cross join (select :read_at::timestamptz as read_at) g
 where s.agent_id = unchanged.agent_id and s.source = :source
returning s.agent_id

-- name: apply_claim
-- Locks the ledger rows of a page until the transaction ends, and creates those that are missing. Every writer claims
-- the ledger row of an agent before it touches the assistant, so that no two wait for each other.
insert into agenthall.agent_sync as s (agent_id, source, last_action)
select g.agent_id, :source, 'missing' from unnest(:agent_ids::uuid[]) as g (agent_id) order by g.agent_id
on conflict (agent_id, source) do update set read_at = s.read_at where false

-- name: apply
-- Writes a page of assistants and their ledger rows, which `apply_claim` has locked, in one statement. `given` are the payloads
-- of :page. `latest` are the payloads without a later read. `held` locks their assistants and leaves out a row that
-- another transaction holds. `merged` is the new content of `held`, and whether it differs. `updated` and `created`
-- write, `done` is the outcome of each agent, and `recorded` stores it in the ledger.
--
-- An agent is missing from the result when its row is held by another transaction, was just created by one, or belongs
-- to another owner. An agent with a later read is skipped. The statement waits for ids that are being inserted only, in
-- their order.
with given as materialized (
  -- json_to_recordset takes twice the time, because it parses config and metadata again
  select (g.item ->> 'agent_id')::uuid as agent_id, g.item ->> 'graph_id' as graph_id, g.item ->> 'name' as name,
         g.item ->> 'description' as description, g.item -> 'config' as config, g.item -> 'metadata' as metadata,
         (g.item ->> 'organization_id')::uuid as organization_id, g.item ->> 'hash' as hash,
         (g.item ->> 'fingerprint')::bytea as fingerprint,
         (g.item -> 'metadata' ->> 'synced_at')::timestamptz as read_at, :source::text as source
    from jsonb_array_elements(:page::jsonb) as g (item)
), latest as materialized (
  select g.agent_id
    from given g
    join agenthall.agent_sync s on s.agent_id = g.agent_id and s.source = g.source
   where not {outdated}
), held as (
  select a.assistant_id, a.version, a.graph_id, a.name, a.description, a.config, a.context, a.metadata,
         a.organization_id, a.retired_at
    from agenthall.assistants a
   where a.assistant_id in (select g.agent_id from latest g) and a.owner_id in ('system', :owner_id)
     and a.origin = :source and a.template_id is null
   order by a.assistant_id
     for no key update skip locked
), merged as (
  select g.agent_id, g.graph_id, g.name, g.description, {config} as config, {context} as context,
         {metadata} as metadata, g.organization_id, g.hash, g.source, a.version, {same} as is_same
    from given g
    join held a on a.assistant_id = g.agent_id
), updated as (
  update agenthall.assistants a
     set version = {next_version}, graph_id = m.graph_id, name = m.name, description = m.description, config = m.config,
         context = m.context, metadata = m.metadata, organization_id = m.organization_id, catalogue_hash = m.hash,
         retired_at = null, updated_at = clock_timestamp()
    from merged m
   where a.assistant_id = m.agent_id and not m.is_same
  returning a.assistant_id, a.version
), created as (
  insert into agenthall.assistants
    (assistant_id, graph_id, name, description, config, context, metadata, organization_id, catalogue_hash, owner_id,
     visibility, origin)
  select g.agent_id, g.graph_id, g.name, g.description, g.config, coalesce(g.config -> 'configurable', '{}'),
         g.metadata, g.organization_id, g.hash, :owner_id, :visibility, g.source
    from given g
   where not exists (select from agenthall.assistants a where a.assistant_id = g.agent_id)
   order by g.agent_id
  on conflict (assistant_id) do nothing
  returning assistant_id, version
), done as (
  select c.assistant_id as agent_id, c.version, 'created' as action from created c
  union all
  select u.assistant_id, u.version, 'updated' from updated u
  union all
  select m.agent_id, m.version, 'skipped' from merged m where m.is_same
), recorded as (
  update agenthall.agent_sync s
     set assistant_id = d.agent_id, checked_at = now(), last_action = d.action, failure = null,
         write_back_pending = false, fingerprint = g.fingerprint, assistant_version = d.version,
         read_at = case when {outdated} then s.read_at else coalesce(g.read_at, s.read_at) end
    from done d
    join given g on g.agent_id = d.agent_id
   where s.agent_id = d.agent_id and s.source = g.source
)
select d.agent_id, d.action, case when d.action = 'updated' then {changed} end as fields
  from done d
  left join held h on h.assistant_id = d.agent_id
  left join merged m on m.agent_id = d.agent_id
union all
select g.agent_id, 'skipped', null from given g
 where g.agent_id not in (select latest.agent_id from latest)
   and exists (select from agenthall.assistants a where a.assistant_id = g.agent_id and a.origin = g.source)
