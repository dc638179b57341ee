-- Storage for agent sync. Works as agenthall_system, and sees what the owner who asks may see, and what the server owns.
-- In the fragments `a` is the assistant that is there, `g` the given one, $1 the catalogue's keys of `configurable`.

-- fragment: same
-- All that catalogue_projection() in core names, by content: an edit by hand leaves the hash as it was. Of jsonb the text is
-- compared: its keys have one order, and 1.0 is not 1, as for the canonical hash.
(a.catalogue_hash is not null and a.retired_at is null and a.graph_id = g.graph_id and a.name = g.name and a.description is not distinct from g.description
 and a.metadata ->> 'supabase_organization_id' is not distinct from g.metadata ->> 'supabase_organization_id'
 and a.config::text = ({config})::text)

-- fragment: config
-- The catalogue's keys replace their like; what members of the organisation added stays.
(a.config || (g.config - 'configurable')) || jsonb_build_object('configurable',
   (coalesce(a.config -> 'configurable', '{}') - $1::text[]) || coalesce(g.config -> 'configurable', '{}'))

-- fragment: context
(a.context - $1::text[]) || coalesce(g.config -> 'configurable', '{}')

-- fragment: metadata
(a.metadata - 'supabase_organization_id') || g.metadata

-- fragment: next_version
-- a.version may have been set back to an earlier one, or raised after this statement's snapshot was taken
greatest(a.version, (select max(v.version) from agenthall.assistant_versions v where v.assistant_id = a.assistant_id)) + 1

-- name: get
-- $1 assistant, $2 owner
select a.assistant_id::text, a.graph_id, a.name, a.description, a.config::text as config, a.context::text as context,
       a.metadata::text as metadata, a.version, a.owner_id, a.organization_id, a.visibility, a.retired_at
  from agenthall.assistants a
 where a.assistant_id = $1 and a.owner_id in ('system', $2)

-- name: insert
insert into agenthall.assistants
  (assistant_id, graph_id, name, description, config, context, metadata, organization_id, catalogue_hash, owner_id, visibility)
values ($1, $2, $3, $4, $5, coalesce($5::jsonb -> 'configurable', '{}'), $6, $7, $8, $9, $10)
on conflict (assistant_id) do nothing
returning assistant_id

-- name: update
with g as (
  select $2::uuid as agent_id, $3::text as graph_id, $4::text as name, $5::text as description, $6::jsonb as config,
         $7::jsonb as metadata, $8::uuid as organization_id, $9::text as hash
)
update agenthall.assistants a
   set version = {next_version}, graph_id = g.graph_id, name = g.name, description = g.description, config = {config},
       context = {context}, metadata = {metadata}, organization_id = g.organization_id, catalogue_hash = g.hash,
       retired_at = null, updated_at = clock_timestamp()
  from g
 where a.assistant_id = g.agent_id and a.owner_id in ('system', $10) and not {same}
returning a.assistant_id

-- name: unchanged
-- $1 agents, $2 fingerprints, $3 owner. Those that were equal when this fingerprint was last seen, and whose assistant is the one
-- of that time; they have been checked now. One that had been missing is compared anew. Locked in the order of ids: replicas never
-- wait for each other crosswise.
with unchanged as (
  select s.agent_id
    from unnest($1::uuid[], $2::bytea[]) as g (agent_id, fingerprint)
    join agenthall.agent_sync s on s.agent_id = g.agent_id and s.fingerprint = g.fingerprint
    join agenthall.assistants a on a.assistant_id = s.agent_id and a.version = s.assistant_version
   where s.last_action <> 'missing' and a.catalogue_hash is not null and a.owner_id in ('system', $3)
   order by s.agent_id
     for no key update of s
)
update agenthall.agent_sync s
   set checked_at = now(), last_action = 'skipped', failure = null, write_back_pending = false
  from unchanged
 where s.agent_id = unchanged.agent_id
returning s.agent_id

-- name: apply
-- $2 the page as JSON, $3 owner, $4 visibility. All of it, with its lines in the ledger, in one statement. An agent whose row
-- somebody holds at this moment, or has just made, or may not be seen, is not in the answer. Waits happen only in the order of ids:
-- first for ids being inserted, then for lines of the ledger.
with given as materialized (
  select g.agent_id, g.graph_id, g.name, g.description, g.config, g.metadata, g.organization_id, g.hash, g.fingerprint
    from json_to_recordset($2::json)
         as g (agent_id uuid, graph_id text, name text, description text, config jsonb, metadata jsonb, organization_id uuid,
               hash text, fingerprint bytea)
), held as (
  select a.assistant_id, a.version, a.graph_id, a.name, a.description, a.config, a.context, a.metadata, a.catalogue_hash,
         a.retired_at
    from agenthall.assistants a
   where a.assistant_id in (select g.agent_id from given g) and a.owner_id in ('system', $3)
   order by a.assistant_id
     for no key update skip locked
), merged as (
  select g.agent_id, g.graph_id, g.name, g.description, {config} as config, {context} as context, {metadata} as metadata,
         g.organization_id, g.hash, a.version, {same} as is_same
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
    (assistant_id, graph_id, name, description, config, context, metadata, organization_id, catalogue_hash, owner_id, visibility)
  select g.agent_id, g.graph_id, g.name, g.description, g.config, coalesce(g.config -> 'configurable', '{}'), g.metadata,
         g.organization_id, g.hash, $3, $4
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
), noted as (
  insert into agenthall.agent_sync as s
    (agent_id, assistant_id, checked_at, last_action, failure, write_back_pending, fingerprint, assistant_version)
  select d.agent_id, d.agent_id, now(), d.action, null, false, g.fingerprint, d.version
    from done d
    join given g on g.agent_id = d.agent_id
   order by d.agent_id
  on conflict (agent_id) do update
     set assistant_id = excluded.assistant_id, checked_at = excluded.checked_at, last_action = excluded.last_action,
         failure = null, write_back_pending = false, fingerprint = excluded.fingerprint,
         assistant_version = excluded.assistant_version
)
select d.agent_id, d.action from done d

-- name: clock
select clock_timestamp()

-- name: retire
-- Every write raises the version: so whoever comes back is compared anew.
update agenthall.assistants a
   set retired_at = clock_timestamp(), version = {next_version}, updated_at = clock_timestamp()
 where a.assistant_id = any ($1::uuid[]) and a.catalogue_hash is not null and a.retired_at is null
returning a.assistant_id

-- name: retire_absent
-- Of the catalogue's assistants after $1 (null: from the first) up to $2 (null: to the last) those that are not among $3. One that was
-- written after $4 is newer than what $3 was read from, and stays.
update agenthall.assistants a
   set retired_at = clock_timestamp(), version = {next_version}, updated_at = clock_timestamp()
 where ($1::uuid is null or a.assistant_id > $1) and ($2::uuid is null or a.assistant_id <= $2)
   and a.catalogue_hash is not null and a.retired_at is null and a.updated_at < $4
   and not (a.assistant_id = any ($3::uuid[]))
returning a.assistant_id
